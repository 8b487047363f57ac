#!/usr/bin/env bash
# Runs every fuzz target there is, several side by side, and fails if any finds something.
# What it found stays in testdata/fuzz of its package, and is tried by every `go test` from
# then on.
#
#   ci/fuzz.sh                30 seconds each
#   FUZZTIME=10s ci/fuzz.sh   less, or with FUZZTIME=1000x so many inputs
#
# Before that it breaks netsetgo on purpose, and looks whether that is found.
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZTIME="${FUZZTIME:-30s}"
output=$(mktemp -d)
export output
trap 'rm -rf "$output"' EXIT

# fuzz FOLDER TARGET, in the folder, below which goes what was found. Inputs of interest go
# where go test keeps them.
fuzz() {
	local said=$output/$2 binary=$output/${1//\//_}.test
	cd "$1"
	# To make each input short that is of interest takes longer than to find more.
	if ! "$binary" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$FUZZTIME" -test.fuzzminimizetime 1s \
		-test.fuzzcachedir "$cache/$1" -test.parallel 1 >"$said" 2>&1; then
		# Now and then Go 1.26 takes the end of its time for an error (stop,
		# internal/fuzz/fuzz.go); a target that found something says more than that.
		if [ "$(sed -n '/^--- FAIL: /,/^FAIL$/{//!p}' "$said")" != '    context deadline exceeded' ]; then
			echo "== $2 of $1 found something"
			cat "$said"
			return 1
		fi
	fi
	local inputs
	inputs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$said" | tail -1)
	if [ "${inputs:-0}" = 0 ]; then
		echo "== $2 came to no input"
		cat "$said"
		return 1
	fi
	echo "$2: $inputs inputs" | tee -a "$output/passed"
}
export -f fuzz

# Each package is built once: go test -fuzz builds it for every target, and where several
# run beside each other they all build the same.
cache=$(go env GOCACHE)/fuzz/$(go list -m)
export cache
grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | sed 's:/[^/]*\.go\:func : :' | sort >"$output/targets"
for folder in $(cut -d' ' -f1 "$output/targets" | uniq); do
	go test -c -fuzz . -o "$output/${folder//\//_}.test" "$folder"
done

# What is broken on purpose has to be found: control characters of others' texts, of which no
# input that the target begins with has one.
broken=$output/broken file=cmd/netsetgo/run.go
mkdir "$broken"
sed 's/if !unicode.IsGraphic(r) {/if !unicode.IsGraphic(r) \&\& (r < 1 || r > 8) {/' $file >"$broken/run.go"
! cmp -s $file "$broken/run.go" || { echo "$file has nothing to break any more" >&2; exit 1; }
printf '{"Replace": {"%s": "%s"}}' "$PWD/$file" "$broken/run.go" >"$broken/overlay.json"
go test -c -fuzz . -overlay "$broken/overlay.json" -o "$output/${broken//\//_}.test" ./cmd/netsetgo
if (cache=$broken FUZZTIME=30s fuzz "$broken" FuzzOneLine) >"$broken/said" || ! grep -q 'reaches a terminal' "$broken/said"; then
	echo "control characters come to a terminal, and that isn't found:" >&2
	cat "$broken/said" >&2
	exit 1
fi
echo "found, as it should be: control characters come to a terminal"

xargs -r -n 2 -P "$((4 * $(nproc)))" bash -c 'fuzz "$@"' _ <"$output/targets"

targets=$(wc -l <"$output/targets")
if [ "$targets" = 0 ] || [ "$(wc -l <"$output/passed")" != "$targets" ]; then
	echo "of $targets fuzz targets not all came to their end" >&2
	exit 1
fi
echo "== $targets targets, $FUZZTIME each: nothing found"
