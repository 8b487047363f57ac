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

targets=0
packages=$(go list ./...)
for package in $packages; do
	list=$(go test -list '^Fuzz' "$package") # and how the package is
	for target in $(grep '^Fuzz' <<<"$list"); do
		echo "== $package $target"
		# To make each input short that is of interest takes longer than to find more.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1s "$package"
		targets=$((targets + 1))
	done
done
if [ "$targets" = 0 ]; then
	echo "no fuzz target was found" >&2
	exit 1
fi
echo "== $targets targets, $FUZZTIME each: nothing found"
