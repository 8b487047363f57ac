#!/usr/bin/env bash
# Shows what netsetgo does: two containers, connected, and taken down again.
#
# The host here is a throw-away one: network, mount and process namespaces that
# the kernel clears away with the demo's last process, however that one ends. So
# the machine's own network isn't touched, and nothing is left behind.
set -euo pipefail

# Part one, on the machine itself: install, build, and enter the throw-away host.
if [ "${1:-}" != --inside ]; then
	cd "$(dirname "$0")/.."
	echo "This happens in namespaces of the demo's own: your network isn't touched, and nothing is left behind."
	as_root=()
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || { echo "make demo needs root" >&2; exit 1; }
		as_root=(sudo)
	fi
	ci/packages.sh iproute2 iputils-ping util-linux
	make --no-print-directory build
	exec "${as_root[@]}" unshare --net --mount --pid --fork --kill-child --mount-proc \
		env PATH="$PWD/bin:$PATH" ci/demo.sh --inside
fi

# Part two, as the first process of that host.
trap 'exit 130' INT TERM
ours=$(readlink /proc/self/ns/net)
mount -t tmpfs tmpfs /run # netsetgo's lock goes there
ip link set lo up

say() {
	echo
	printf '# %s\n' "$@"
}
run() {
	printf '$ %s\n' "$*"
	"$@"
}

# container starts a process in a network namespace of its own; $! is its pid.
container() {
	printf '$ unshare --net sleep infinity &\n'
	unshare --net sleep infinity &
	# It is a container once it has left our namespace, which doesn't take long.
	while [ "$(readlink "/proc/$!/ns/net")" = "$ours" ]; do
		sleep 0.01
	done
	kill -0 $!
}

say "Two containers: no more than two processes, each in a network namespace of its own."
container
first=$!
container
second=$!
printf 'Their pids are %s and %s.\n' "$first" "$second"

say "Such a namespace is empty: a loopback that is down, and no way out."
run nsenter --target "$first" --net ip -brief address

say "Connect both. That it was done is all there is to say, so netsetgo says nothing."
run netsetgo -pid "$first"
run netsetgo -pid "$second"

say "The first has an interface, an address and a way out."
run nsenter --target "$first" --net ip -brief address
run nsenter --target "$first" --net ip route

say "It reaches the second."
run nsenter --target "$first" --net ping -c 3 -i 0.2 10.10.10.3

say "On the host there is now a bridge, brg0, and a port of it for each container." \
	"A port's alternative names are all that netsetgo remembers: the address that is" \
	"leased, and the namespace it was leased to. They go with the link."
run ip -brief address show brg0
run ip link show master brg0

say "Disconnect one: the other stays, and so does the bridge."
run netsetgo down -pid "$first"
run ip -brief link

say "Disconnect the last one: the bridge goes too, and nothing is left."
run netsetgo down -pid "$second"
run ip -brief link
run ip route
