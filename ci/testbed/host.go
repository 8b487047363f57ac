// Package testbed has what programs share that try netsetgo out: hosts of their own and
// containers on them, and builds of netsetgo that are broken on purpose.
package testbed

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
	"golang.org/x/sys/unix"
)

// Host is a host of one's own, which is the network and mount namespace of the thread
// that made it, with a default route of both families by a link named up0. Whatever that
// thread starts is on that host.
type Host struct {
	Namespace *os.File
	Reader    state.Reader
}

// NewHost makes the thread a new host. The one before ends with what is on it.
func NewHost() (*Host, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("making a host, for which one must be root: %w", err)
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
		for try in $(seq 500); do
			ip -6 route show table local | grep -q '^local 2001:db8::1 ' && break
			sleep 0.01
		done
	`).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("making a host: %w: %s", err, out)
	}
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("making a host: %w", err)
	}
	return &Host{Namespace: namespace}, nil
}

// Container is a process that holds a network namespace.
type Container struct {
	Namespace *os.File
	cmd       *exec.Cmd
}

// NewContainer starts a command as a container, which ends with the thread at the latest.
func NewContainer(command ...string) (*Container, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a container: %w", err)
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return &Container{namespace, cmd}, nil
}

// PID is the number of the process, as netsetgo takes it.
func (c *Container) PID() string { return strconv.Itoa(c.cmd.Process.Pid) }

// End ends the process and lets go of its namespace.
func (c *Container) End() {
	_ = c.Namespace.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// Unlocked says whether nobody holds netsetgo's lock.
func Unlocked() (bool, error) {
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

// Children are the processes below this one, orphans included.
func Children() ([]string, error) {
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

// Eventually asks again and again, for some things are done by the kernel a moment later.
func Eventually(is func() (bool, error)) (bool, error) {
	const pause, patience = 5 * time.Millisecond, 3 * time.Second
	for end := time.Now().Add(patience * Slow); ; time.Sleep(pause) { //nolint:forbidigo // the kernel tells nobody
		ok, err := is()
		if ok || err != nil || time.Now().After(end) {
			return ok, err
		}
	}
}

// IsError says whether a text is one line of an error of netsetgo's; warnings may stand before.
func IsError(text string) bool {
	errors := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "netsetgo: ") {
			return false
		}
		if !strings.HasPrefix(line, "netsetgo: warning: ") {
			errors++
		}
	}
	return errors == 1
}

// Links are those of the thread's host: read again where they changed meanwhile, as when the
// kernel just takes apart the namespace of a container that ended.
func Links() (links []netlink.Link, err error) {
	for range 100 {
		links, err = netlink.LinkList()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return links, err
}
