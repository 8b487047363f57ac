#!/usr/bin/env bash
# Runs the specs in which runc, crun and podman call netsetgo. Before that it breaks netsetgo
# on purpose, and looks whether they find it.
set -euo pipefail
cd "$(dirname "$0")/.."

# specs runs them, or some: specs GINKGO'S FLAGS...
specs() { ci/test.sh --label-filter=runtimes "$@" ./cmd/netsetgo; }

broken=$(mktemp -d)
trap 'rm -rf "$broken"' EXIT
file=cmd/netsetgo/state.go what="a hook of a container that has stopped is lost"
sed 's/verb = "down"$/verb = "check"/' $file >"$broken/state.go"
! cmp -s $file "$broken/state.go" || { echo "$file has nothing to break any more" >&2; exit 1; }
printf '{"Replace": {"%s": "%s"}}' "$PWD/$file" "$broken/state.go" >"$broken/overlay.json"
CGO_ENABLED=0 go build -buildvcs=false -overlay "$broken/overlay.json" -o "$broken/netsetgo" ./cmd/netsetgo
if NETSETGO=$broken/netsetgo specs --focus='is what the README says|that has its annotation' >"$broken/said" ||
	! grep -q 'specs: 0 passed, 3 failed' "$broken/said"; then
	echo "$what, and that isn't found:" >&2
	cat "$broken/said" >&2
	exit 1
fi
echo "found, as it should be: $what"
specs
