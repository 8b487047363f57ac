#!/usr/bin/env bash
# Runs every fuzz target there is, one after the other, and fails with the first that
# finds something. What it found stays in testdata/fuzz of that package, and is tried by
# every `go test` from then on.
#
#   ci/fuzz.sh                30 seconds each
#   FUZZTIME=10s ci/fuzz.sh   less, or with FUZZTIME=1000x so many inputs
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZTIME:=30s}"

output=$(mktemp)
trap 'rm -f "$output"' EXIT

# run fuzzes one target.
run() {
	# To make each input short that is of interest takes longer than to find more.
	go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1s "$1" | tee "$output" && return
	# Now and then Go 1.26 takes the end of its time for an error (stop,
	# internal/fuzz/fuzz.go); a target that found something says more than that.
	[ "$(sed -n '/^--- FAIL: /,/^FAIL$/{//!p}' "$output")" = '    context deadline exceeded' ]
}

targets=0
packages=$(go list ./...)
for package in $packages; do
	list=$(go test -list '^Fuzz' "$package") # and how the package is
	for target in $(grep '^Fuzz' <<<"$list"); do
		echo "== $package $target"
		run "$package" "$target"
		targets=$((targets + 1))
	done
done
if [ "$targets" = 0 ]; then
	echo "no fuzz target was found" >&2
	exit 1
fi
echo "== $targets targets, $FUZZTIME each: nothing found"
