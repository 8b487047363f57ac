#!/usr/bin/env bash
# Runs every spec: those labelled unit, and those labelled root, which talk to the real
# kernel, each in network namespaces of its own. All have the race detector, but for those
# of cmd/netsetgo: what they run is the binary, as a process, which it doesn't see.
#
#   ci/test.sh                        every package
#   ci/test.sh ./configurer/lease     these only; also takes ginkgo's flags
#
# Needs Go; installs the rest where it is missing. Without root, root specs are
# left out, and it says so; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

# They wait for the kernel much of the time.
ginkgo=(--procs=$((3 * $(nproc))) --randomize-all --keep-going --poll-progress-after=60s --timeout=20m)
[ -t 1 ] || ginkgo+=(--no-color)

root=yes
if [ "$(id -u)" = 0 ]; then
	ci/packages.sh
elif [ "${CI:-}" = true ]; then
	echo "CI=true, and not root: the specs on the real kernel can't run" >&2
	exit 1
else
	root=no
	ginkgo+=(--label-filter='!root')
fi
ci/packages.sh gcc libc6-dev # for the race detector

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
status=0

# specs runs some: specs REPORT GINKGO'S ARGUMENTS...
specs() {
	go tool ginkgo run --output-dir="$reports" --junit-report="$1.xml" "${ginkgo[@]}" "${@:2}" || status=$?
	[ -f "$reports/$1.xml" ] || { echo "the specs didn't start, see above" >&2; exit 1; }
}

echo "== running the specs"
if [ $# -gt 0 ]; then
	specs asked "$@"
else
	# cgo is for the race detector only.
	CGO_ENABLED=1 specs rooms --race -r --skip-package=cmd/netsetgo
	CGO_ENABLED=0 specs binary ./cmd/netsetgo
fi

# How many specs came out how, from lines such as
#   <testcase name="[It] lease takes the next address [unit]" ... status="passed"
count() { cat "$reports"/*.xml | grep -cE "<testcase name=\"\[It\] $1\" .* status=\"($2)\"" || true; }
passed=$(count '.*' passed)
skipped=$(count '.*' 'skipped|pending')
failed=$(($(count '.*' '[a-z]+') - passed - skipped))
echo
echo "== of those that passed: $(count '.*\[unit\]' passed) unit, $(count '.*\[root\]' passed) root"
echo "specs: $passed passed, $failed failed, $skipped skipped"
if [ $root = no ]; then
	echo "== NOT ROOT: specs on the real kernel were left out. For all of them: sudo make test"
fi
if [ "$passed" = 0 ] && [ $status = 0 ]; then
	echo "no spec ran" >&2
	status=1
fi
[ $status = 0 ] || echo "== FAILED, see above" >&2
exit $status
