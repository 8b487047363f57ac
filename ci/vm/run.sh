#!/usr/bin/env bash
# Runs root specs inside QEMU, on Debian's cloud kernels. The guest's files are this
# machine's, read-only, below a layer in memory; nothing is installed, and no KVM needed.
#
#   ci/vm/run.sh 6.1              the specs of what kernels differ in, those of runtimes, which
#                                 find cgroups and limits there as podman wants them, and some
#                                 of the faults, on one kernel
#   ci/vm/run.sh -o faults 6.1    only these faults, or only the specs
#   ci/vm/run.sh -s packets 6.1   specs of other labels, as ginkgo's --label-filter has them
#   ci/vm/run.sh -f REGEXP 6.1    only specs whose names match
#   ci/vm/run.sh -p PATH 6.1      only those of one package
#   ci/vm/run.sh -a 5.10 6.12     all root specs but the longest, which try much the same over
#                                 and over (-s 'root && long'), and more of the faults, on several
#   ci/vm/run.sh -b PATH 6.1      with another netsetgo than that of this folder
#   ci/vm/run.sh -c COMMAND 6.1   a command instead, whose output is printed
#   ci/vm/run.sh -l 600s 6.1      a guest may take so long
#
# A kernel is the beginning of its version; "newest" is the newest that Debian has. A guest
# that dies, hangs or says no result is a failure, and so is one in which no spec ran.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/netsetgo-vm
limit=1800s
labels='kernels || runtimes'
focus=
every=30
command=
show=
binary=
packages=
while getopts ab:c:f:l:o:p:s: option; do
	case $option in
	a) labels='root && !long' every=15 limit=7200s ;;
	b) binary=$OPTARG ;;
	c) command=$OPTARG show=yes ;;
	f) focus=$OPTARG every= ;;
	l) limit=$OPTARG ;;
	o)
		case $OPTARG in
		specs) every= ;;
		faults) labels= ;;
		*) exit 2 ;;
		esac
		;;
	p) packages=$OPTARG every= ;;
	s) labels=$OPTARG every= ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

[ "$(id -u)" = 0 ] || { echo "ci/vm/run.sh needs root" >&2; exit 1; }
ci/packages.sh busybox-static iproute2 xz-utils cpio kmod
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# debian is apt with lists and sources of its own: the machine's, but of all suites that
# have kernels.
debian() {
	local tool=$1
	shift
	"$tool" -qq -o Dir::State="$cache/apt" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$cache/apt" \
		-o Dir::Etc::sourcelist="$cache/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root "$@"
}

# sources writes them: whatever is said of the one suite there is said of the others.
sources() {
	local uri key=/usr/share/keyrings/debian-archive-keyring.gpg suites
	sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources | sort -u | while read -r uri; do
		case $uri in
		*security*) suites="bullseye-security bookworm-security" ;;
		*) suites="bullseye bookworm bookworm-backports trixie trixie-backports sid" ;;
		esac
		for suite in $suites; do
			echo "deb [signed-by=$key check-valid-until=no] $uri $suite main"
		done
	done >"$cache/sources.list"
	[ -s "$cache/sources.list" ] || { echo "no Debian sources in /etc/apt/sources.list.d" >&2; exit 1; }
}

# unpack downloads packages and takes them apart, once: unpack FOLDER PACKAGE...
unpack() {
	local folder=$1 deb
	shift
	[ ! -e "$folder/.done" ] || return 0
	rm -rf "$folder" "$work/debs"
	mkdir -p "$folder" "$work/debs/partial"
	"$downloader" -o Dir::Cache::archives="$work/debs" "$@"
	for deb in "$work"/debs/*.deb; do
		dpkg -x "$deb" "$folder"
	done
	touch "$folder/.done"
}
machine() { apt-get -qq -o APT::Sandbox::User=root install --download-only --no-install-recommends -y "$@" >/dev/null; }
kernels() {
	local archives=$2
	shift 2
	(cd "${archives#*=}" && debian apt-get download "$@" >/dev/null)
}

if [ ! -e "$cache/qemu/.done" ]; then
	echo "== downloading QEMU"
	apt-get -qq update >/dev/null
	downloader=machine unpack "$cache/qemu" qemu-system-x86
fi
if [ -z "$(find "$cache/sources.list" -mtime -1 2>/dev/null)" ]; then
	echo "== looking which kernels there are"
	mkdir -p "$cache"/apt/{lists,archives}/partial
	sources
	debian apt-get update >/dev/null
fi

# package is that of the newest kernel whose version begins so.
package() {
	local version="${1//./\\.}[.+-]"
	[ "$1" != newest ] || version='[0-9]'
	debian apt-cache search --names-only "^linux-image-$version.*-cloud-amd64\$" | cut -d' ' -f1 | grep -v -e unsigned -e -rt- | sort -V | tail -1
}

qemu=$cache/qemu
libraries=$(find "$qemu" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)

# initramfs makes the guest's first files: busybox, modules, and init.
initramfs() {
	local kernel=$1 release=$2 files=$work/initramfs
	rm -rf "$files"
	mkdir -p "$files/bin" "$files/lib/modules/$release/kernel"
	cp "$(command -v busybox)" "$files/bin/busybox"
	cp ci/vm/init.sh "$files/init"
	local from=$kernel/lib/modules/$release to=$files/lib/modules/$release
	[ -d "$from" ] || from=$kernel/usr/lib/modules/$release
	local part parts=(modules.order modules.builtin modules.builtin.modinfo)
	for part in net fs/overlayfs fs/fuse drivers/virtio drivers/net lib crypto arch; do
		[ ! -e "$from/kernel/$part" ] || parts+=("kernel/$part")
	done
	tar -C "$from" --exclude=drivers/net/ethernet --exclude=arch/x86/kvm -c "${parts[@]}" | tar -C "$to" -x
	find "$to" -name '*.ko.xz' -exec xz -d {} +
	depmod -b "$files" "$release"
	# Not packed: the guest would take longer to unpack it than QEMU to read it.
	(cd "$files" && find . | cpio --quiet -o -H newc) >"$work/initrd"
}

# guest runs one, to its end, whose kind is in $ended: guest IMAGE
guest() {
	ended=0
	# Of what slows QEMU down the guest has less: a kernel that finds SMAP, or fast moves of
	# bytes, uses them; and code that is never twice at one address is translated each time.
	# It has one processor: of two in QEMU 7.2, one may go on with old code of the kernel's that
	# the other has patched, and trap for ever where there is nothing to trap any more. But where
	# no second can come, QEMU before 8.1 leaves the guest's memory barriers out: the guest misses
	# that virtiofsd has answered, and waits for ever.
	local image=$1 socket=$work/virtiofs.sock
	rm -f "$work"/{console,result}
	LD_LIBRARY_PATH=$libraries "$qemu/usr/lib/qemu/virtiofsd" --socket-path="$socket" -o source=/ -o sandbox=chroot -o cache=always >"$work/virtiofsd" 2>&1 &
	local files=$!
	for _ in $(seq 100); do [ -S "$socket" ] && break; sleep 0.1; done
	LD_LIBRARY_PATH=$libraries timeout --foreground --kill-after=5s "$limit" "$(find "$qemu/usr/bin" -name qemu-system-x86_64)" \
		-L "$qemu/usr/share/qemu" -L "$qemu/usr/share/seabios" -nodefaults -no-user-config -display none -no-reboot \
		-accel tcg,thread=multi -cpu qemu64 -smp 1,maxcpus=2 -m 2048 \
		-object memory-backend-memfd,id=memory,size=2048M,share=on -numa node,memdev=memory \
		-chardev socket,id=files,path="$socket" -device vhost-user-fs-pci,chardev=files,tag=files \
		-kernel "$image" -initrd "$work/initrd" -append "console=ttyS0 loglevel=4 panic=-1 mitigations=off norandmaps init_on_alloc=0 netsetgo=$work/script" \
		-serial file:"$work/console" -serial file:"$work/result" </dev/null || ended=$?
	kill "$files" 2>/dev/null || true
	wait "$files" 2>/dev/null || true
}

if [ -z "$command" ]; then
	ci/packages.sh
	echo "== building the specs"
	mkdir "$work/bin"
	CGO_ENABLED=0 go build -o "$work/bin" ./cmd/netsetgo ./ci/faults github.com/onsi/ginkgo/v2/ginkgo
	[ -z "$binary" ] || cp "$binary" "$work/bin/netsetgo"
	[ -z "$labels" ] || [ -n "$packages" ] || packages=$(grep -rl --include='*_test.go' 'Label("root"' . | xargs -n1 dirname | sort -u)
	for tests in $packages; do
		CGO_ENABLED=0 go test -c -o "$work/bin/$(basename "$tests").test" "$tests"
	done
	command="ci/vm/specs.sh $work/bin '$labels' '$focus' '$every' ${packages//$'\n'/ }"
fi
printf '%s\n' "cd '$PWD'" "$command" >"$work/script"

failed=0
table=$(printf '%-28s %s\n' kernel result)
for version; do
	name=$(package "$version")
	[ -n "$name" ] || { echo "no kernel $version in Debian" >&2; failed=1; continue; }
	folder=$cache/kernels/$name
	if [ ! -e "$folder/.done" ]; then
		echo "== downloading $name"
		parts=$(debian apt-cache depends "$name" | sed -n 's/^ *\(|*\)Depends: \(linux-\(binary\|modules\|base-\)[^ ]*\)/\2/p' | grep -v '^linux-base$' || true)
		# shellcheck disable=SC2086
		downloader=kernels unpack "$folder" "$name" $parts
	fi
	image=$(find "$folder/boot" "$folder/usr/lib/modules" -name 'vmlinuz*' 2>/dev/null | head -1 || true)
	release=$(basename "$(find "$folder"/lib/modules "$folder"/usr/lib/modules -mindepth 1 -maxdepth 1 2>/dev/null | head -1 || true)")
	initramfs "$folder" "$release"
	echo "== $release"
	began=$SECONDS
	guest "$image"
	tr -d '\r' <"$work/result" >"$work/log" 2>/dev/null || true
	result=$(sed -n 's/^VM EXIT //p' "$work/log" | tail -1)
	if [ "$result" != 0 ] || [ "$show" = yes ]; then
		cat "$work/log"
	fi
	if [ "$result" != 0 ]; then
		failed=1
		tail -20 "$work/console"
	fi
	if [ -z "$result" ]; then
		case $ended in
		124 | 137) echo "$release: the guest hung, and was ended after $limit" >&2 ;;
		*) echo "$release: the guest died without a result" >&2 ;;
		esac
	fi
	table+=$'\n'$(printf '%-28s %s' "$release" "${result:-none} in $((SECONDS - began)) s; $(grep -aE '^specs: |^[0-9]+ scenarios, ' "$work/log" | paste -sd' ' || true)")
done
echo
echo "$table"
exit $failed
