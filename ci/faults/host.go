package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/netsetgo/netsetgo/ci/state"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// host is a host of faults' own, which is the network and mount namespace of the thread
// that made it, with a default route of both families by a link named up0. Whatever that
// thread starts is on that host.
type host struct {
	namespace *os.File
	reader    state.Reader
}

// newHost makes the thread a new host. The one before ends with what is on it.
func newHost() (*host, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("making a host, for which faults must be root: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("making a host: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return nil, fmt.Errorf("making a host: %w", err)
	}
	// Addresses and links that are settled at once: else the host would go on changing.
	out, err := exec.Command("sh", "-ec", `
		ip link set lo up
		echo 0 >/proc/sys/net/ipv4/ip_forward
		ip link add up0 type veth peer name eth0
		for link in up0 eth0; do
			ip link set $link addrgenmode none
			ip link set $link up
		done
		ip address add 192.0.2.1/24 dev up0
		ip address add 2001:db8::1/64 dev up0 nodad
		ip route add default via 192.0.2.254
		ip route add default via 2001:db8::254
		ip link show dev up0 >/dev/null
		ip link show dev eth0 >/dev/null
	`).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("making a host: %w: %s", err, out)
	}
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("making a host: %w", err)
	}
	return &host{namespace: namespace}, nil
}

// container is a process that holds a network namespace.
type container struct {
	cmd       *exec.Cmd
	namespace *os.File
}

func newContainer() (*container, error) {
	cmd := exec.Command("sleep", "900")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a container: %w", err)
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return &container{cmd, namespace}, nil
}

func (c *container) pid() string { return strconv.Itoa(c.cmd.Process.Pid) }

// end ends the process and lets go of its namespace.
func (c *container) end() {
	_ = c.namespace.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// disconnect deletes all links but lo, as the container's end would.
func (c *container) disconnect() error {
	handle, err := netlink.NewHandleAt(netns.NsHandle(c.namespace.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("looking into the container: %w", err)
	}
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		return fmt.Errorf("looking for the container's links: %w", err)
	}
	for _, link := range links {
		if link.Attrs().Index != 1 {
			if err := handle.LinkDel(link); err != nil {
				return fmt.Errorf("deleting a link of the container: %w", err)
			}
		}
	}
	return nil
}

// calm takes lo of a container back to what it was: a kill or a `down` leaves it up.
func (c *container) calm() error {
	handle, err := netlink.NewHandleAt(netns.NsHandle(c.namespace.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("looking into the container: %w", err)
	}
	defer handle.Close()
	lo, err := handle.LinkByIndex(1)
	if err != nil {
		return fmt.Errorf("looking for the container's lo: %w", err)
	}
	if lo.Attrs().RawFlags&unix.IFF_UP == 0 {
		return nil
	}
	addresses, err := handle.AddrList(lo, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("reading the addresses of the container's lo: %w", err)
	}
	for _, address := range addresses {
		if err := handle.AddrDel(lo, &address); err != nil {
			return fmt.Errorf("taking lo's address: %w", err)
		}
	}
	return handle.LinkSetDown(lo)
}

// unlocked says whether nobody holds netsetgo's lock.
func unlocked() (bool, error) {
	file, err := os.Open("/run/netsetgo.lock")
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// children are the processes below this one, orphans included.
func children() ([]string, error) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		return nil, cmp.Or(err, errors.New("this kernel doesn't tell a thread's children (CONFIG_PROC_CHILDREN)"))
	}
	var pids []string
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return nil, err // a thread may end meanwhile
		}
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids, nil
}

// eventually asks again and again, for some things are done by the kernel a moment later.
func eventually(is func() (bool, error)) (bool, error) {
	const pause, patience = 20 * time.Millisecond, 3 * time.Second
	for end := time.Now().Add(patience); ; time.Sleep(pause) { //nolint:forbidigo // the kernel tells nobody
		ok, err := is()
		if ok || err != nil || time.Now().After(end) {
			return ok, err
		}
	}
}
