#!/usr/bin/env bash
# Shows that ci/vm/run.sh tells what goes wrong in a guest: ci/vm/selftest.sh [KERNEL]
set -euo pipefail
cd "$(dirname "$0")/../.."
kernel=${1:-6.1}

# expect runs a guest: expect STATUS TEXT OPTION...
expect() {
	local status=0 wanted=$1 text=$2 said
	shift 2
	said=$(ci/vm/run.sh "$@" "$kernel" 2>&1) || status=$?
	if [ "$status" != "$wanted" ] || ! grep -q -e "$text" <<<"$said"; then
		printf '%s\n' "$said"
		echo "ci/vm/run.sh $* $kernel exits $status, and not $wanted with \"$text\"" >&2
		exit 1
	fi
	echo "ci/vm/run.sh $*: $(grep -e "$text" <<<"$said" | tail -1)"
}

ci/packages.sh # once, and not by guests beside each other
echo "== showing that a guest which fails is a failure"
expect 0 ' 0 in ' -c 'uname -r' # which downloads what the others need
expect 1 ' 3 in ' -c 'exit 3' &
expect 1 'the guest died without a result' -c 'echo c >/proc/sysrq-trigger; sleep 60' &
expect 1 'the guest hung, and was ended after 12s' -l 12s -c 'sleep 600' &
expect 1 'no spec ran' -p ./ci/testnet -f 'what no spec is called' &
expect 1 'specs: 0 passed, 1 failed' -b /bin/false -p ./cmd/netsetgo -f 'connects a container with every flag at its default' &
expect 1 '8 scenarios, 0 faults, 0 left something' -o faults -b /bin/false &
for guest in $(jobs -p); do
	wait "$guest"
done
