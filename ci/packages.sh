#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing here:
#
#   ci/packages.sh iproute2 runc
#   ci/packages.sh                  all that root specs need
#
# A package isn't missing where what we want of it is there, wherever it came from.
set -euo pipefail

has() { command -v "$1" >/dev/null; }

present() {
	case $1 in
	busybox-static) has busybox && ! ldd "$(command -v busybox)" 2>/dev/null | grep -q '=>' ;;
	containernetworking-plugins) [ -x /usr/lib/cni/bridge ] ;;
	iproute2) has ip ;;
	iputils-ping) has ping ;;
	libc6-dev) has gcc && gcc -E -include stdlib.h -x c /dev/null >/dev/null 2>&1 ;;
	nftables) has nft ;;
	procps) has sysctl ;;
	util-linux) has unshare && has nsenter ;;
	xz-utils) has xz ;;
	*) has "$1" ;;
	esac
}

[ $# -gt 0 ] || set -- runc crun podman busybox-static conntrack iproute2 iptables iputils-ping nftables procps radvd strace util-linux

missing=()
for package; do
	present "$package" || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
	as_root=(sudo)
fi
if ! has apt-get || { [ "$(id -u)" != 0 ] && ! has sudo; }; then
	echo "Missing here, please install: ${missing[*]} (Debian's names of the packages)" >&2
	exit 1
fi

echo "== missing here, installing by apt-get: ${missing[*]}"
apt_get() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null >/dev/null; }
apt_get update
apt_get install --yes --no-install-recommends "${missing[@]}"
