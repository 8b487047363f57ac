#!/usr/bin/env bash
# Runs every spec, with the race detector: those labelled unit, and those labelled
# root, which talk to the real kernel, each in network namespaces of its own.
#
#   ci/test.sh                        every package
#   ci/test.sh ./configurer/lease     these only; also takes ginkgo's flags
#
# Needs Go; installs the rest where it is missing. Without root, root specs are
# left out, and it says so; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

ginkgo=(--race -p --randomize-all --keep-going --poll-progress-after=60s --timeout=20m)
packages=(gcc libc6-dev) # of the race detector
[ -t 1 ] || ginkgo+=(--no-color)

root=yes
if [ "$(id -u)" = 0 ]; then
	packages+=(runc crun podman busybox-static conntrack iproute2 iptables iputils-ping nftables procps radvd strace util-linux)
elif [ "${CI:-}" = true ]; then
	echo "CI=true, and not root: the specs on the real kernel can't run" >&2
	exit 1
else
	root=no
	ginkgo+=(--label-filter='!root')
fi
ci/packages.sh "${packages[@]}"

report=$(mktemp -d)
trap 'rm -rf "$report"' EXIT

if [ $# -gt 0 ]; then
	ginkgo+=("$@")
else
	ginkgo+=(-r)
fi
echo "== running the specs"
status=0
# cgo is for the race detector only: the binary under test is built without.
CGO_ENABLED=1 go tool ginkgo run --output-dir="$report" --junit-report=report.xml "${ginkgo[@]}" || status=$?

if [ ! -f "$report/report.xml" ]; then
	echo "the specs didn't start, see above" >&2
	exit 1
fi

# How many specs came out how, from lines such as
#   <testcase name="[It] lease takes the next address [unit]" ... status="passed"
count() { grep -cE "<testcase name=\"\[It\] $1\" .* status=\"($2)\"" "$report/report.xml" || true; }
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
