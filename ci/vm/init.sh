#!/bin/busybox sh
# The guest's first process: puts this machine's files below a layer in memory, and runs the
# script that the kernel's command line names, on them.
set -e
/bin/busybox mkdir -p /proc /sys /dev /new /lower /upper /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in virtio_pci fuse virtiofs overlay; do modprobe $module || true; done
mount -t virtiofs -o ro files /lower
mount -t tmpfs upper /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new
for folder in proc sys dev run tmp; do mkdir -p /new/$folder; done
script=$(sed -n 's/.*netsetgo=\([^ ]*\).*/\1/p' /proc/cmdline)
mkdir -p /new/vm
cp "/lower$script" /new/vm/script
folder=$(dirname "$script")
for fs in proc sys dev; do mount --move /$fs /new/$fs; done
mount -t tmpfs run /new/run
# Busybox's own stands apart: the machine's programs are what specs and the kernel run. Of
# modprobe that matters: busybox's says that a module is there which another is loading still.
mkdir /new/vm/bin
cp /bin/busybox /new/vm/bin/poweroff
mkdir -p /new/lib/modules
cp -r /lib/modules/* /new/lib/modules/
cat >/new/vm/start <<'START'
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin HOME=/root LC_ALL=C.UTF-8
exec </dev/null
stty -F /dev/ttyS1 raw
exec >/dev/ttyS1 2>&1
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
# A hundred broadcasts at once, each to a hundred ports, are more than one processor queues.
sysctl -q -w net.core.netdev_max_backlog=20000
# The sysctls of a module that is loaded later would be changes that no spec asked for.
for module in br_netfilter nf_conntrack; do modprobe $module; done
echo "guest: $(uname -r)"
status=0
/bin/sh /vm/script || status=$?
printf '\nVM EXIT %s\n' "$status"
sync
/vm/bin/poweroff -f
START
exec switch_root /new /bin/sh /vm/start
