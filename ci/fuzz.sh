#!/usr/bin/env bash
# Runs every fuzz target there is, several side by side, and fails if any finds something.
# What it found stays in testdata/fuzz of its package, and is tried by every `go test` from
# then on.
#
#   ci/fuzz.sh                30 seconds each
#   FUZZTIME=10s ci/fuzz.sh   less, or with FUZZTIME=1000x so many inputs
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZTIME="${FUZZTIME:-30s}"
output=$(mktemp -d)
export output
trap 'rm -rf "$output"' EXIT

# fuzz PACKAGE TARGET
fuzz() {
	local said=$output/$2
	# To make each input short that is of interest takes longer than to find more.
	if ! go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1s -parallel 1 "$1" >"$said" 2>&1; then
		# Now and then Go 1.26 takes the end of its time for an error (stop,
		# internal/fuzz/fuzz.go); a target that found something says more than that.
		if [ "$(sed -n '/^--- FAIL: /,/^FAIL$/{//!p}' "$said")" != '    context deadline exceeded' ]; then
			echo "== $1 $2 found something"
			cat "$said"
			return 1
		fi
	fi
	local inputs
	inputs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$said" | tail -1)
	if [ "${inputs:-0}" = 0 ]; then
		echo "== $1 $2 came to no input"
		cat "$said"
		return 1
	fi
	echo "$2: $inputs inputs" | tee -a "$output/passed"
}
export -f fuzz

for package in $(go list ./...); do
	# How the package is, too.
	go test -list '^Fuzz' "$package" | sed -n "s:^Fuzz:$package &:p"
done >"$output/targets"
xargs -r -n 2 -P "$((4 * $(nproc)))" bash -c 'fuzz "$@"' _ <"$output/targets"

targets=$(wc -l <"$output/targets")
if [ "$targets" = 0 ] || [ "$(wc -l <"$output/passed")" != "$targets" ]; then
	echo "of $targets fuzz targets not all came to their end" >&2
	exit 1
fi
echo "== $targets targets, $FUZZTIME each: nothing found"
