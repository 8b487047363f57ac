package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/netsetgo/netsetgo/ci/testbed"
	"golang.org/x/sys/unix"
)

// newHost makes the namespaces that the process came into a host, with a default route by a
// link named up0, whose other end nobody has yet.
func newHost() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making a host: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("making a host: %w", err)
	}
	if err := os.MkdirAll(namespaces, 0o755); err != nil { // ip(8) makes it as open
		return fmt.Errorf("making a host: %w", err)
	}
	return sh(`
		ip link set lo up
		echo 0 >/proc/sys/net/ipv4/ip_forward
		ip link add up0 type veth peer name eth0
		ip address add 192.0.2.1/24 dev up0
		ip link set up0 up
		ip route add default via 192.0.2.254
		if [ -e /proc/sys/net/bridge ]; then
			for key in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 >$key; done
		fi
	`)
}

// sh runs a shell script on the host.
func sh(script string) error {
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("preparing: %w: %s", err, out)
	}
	return nil
}

// path is that of an open namespace, for programs that are started.
func path(namespace *os.File) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), namespace.Fd())
}

// namespaces is where `ip netns` has them.
const namespaces = "/run/netns/"

// nameNamespace gives a new namespace a name as `ip netns` does. It lives until dropNamespace.
func nameNamespace(name string) error {
	file, err := testbed.NewNamespace()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // the name holds it
	target := namespaces + name
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		return fmt.Errorf("naming a namespace: %w", err)
	}
	if err := unix.Mount(path(file), target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("naming a namespace: %w", err)
	}
	return nil
}

func dropNamespace(name string) error {
	if err := unix.Unmount(namespaces+name, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("dropping a namespace: %w", err)
	}
	return os.Remove(namespaces + name)
}

// memory is a file in memory that holds a text.
func memory(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), "bench")
	_, err = file.WriteAt([]byte(text), 0)
	return file, err
}
