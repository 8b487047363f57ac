package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/netsetgo/netsetgo/configurer"
	"golang.org/x/sys/unix"
)

// System is the kernel that this process runs on.
type System struct {
	// Sent is told the type of each message that is sent to a connection, for who counts
	// them; nil where nobody does.
	Sent func(kind uint16)
}

var _ configurer.Kernel = System{}

// Names of the kernel's that golang.org/x/sys doesn't have.
const (
	pidfdGetNetNamespace = 0xff04 // PIDFD_GET_NET_NAMESPACE, linux/pidfd.h
	nsGetType            = 0xb703 // NS_GET_NSTYPE, linux/nsfs.h
)

// namedNamespaces is where `ip netns` keeps its namespaces.
const namedNamespaces = "/run/netns/"

// Pin implements configurer.Kernel. The pidfd holds on to the process, so that
// the namespace can't be that of another which took the pid over.
func (System) Pin(pid int) (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
			err = configurer.ErrNoProcess
		}
		return nil, fmt.Errorf("opening the network namespace of process %d: %w", pid, err)
	}
	if pid <= 0 {
		return fail(errors.New("a pid is a number above 0"))
	}
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return fail(errors.New("this is the number of a thread; name its process, which is Tgid in /proc/PID/status"))
	}
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unix.Close(process) }()

	// The kernel tells directly from 6.11 on, by a descriptor that is closed on exec
	// (open_related_ns, fs/nsfs.c); before, it doesn't know the question.
	fd, err := unix.IoctlRetInt(process, pidfdGetNetNamespace)
	if err == nil {
		return os.NewFile(uintptr(fd), fmt.Sprintf("/proc/%d/ns/net", pid)), nil
	}
	if !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EINVAL) {
		return fail(err)
	}
	namespace, err := openNamespace(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return fail(err)
	}
	// Still running after the file was open: so the file is of this process. Not to be
	// allowed to signal it says as much.
	if err := unix.PidfdSendSignal(process, 0, nil, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return fail(errors.Join(err, namespace.Close()))
	}
	return namespace, nil
}

// OpenNamespace opens a namespace of `ip netns` by its name, or any namespace
// file by its path; what has a slash is a path.
func (System) OpenNamespace(nameOrPath string) (*os.File, error) {
	path := nameOrPath
	if !strings.Contains(path, "/") {
		path = namedNamespaces + path
	}
	namespace, err := openNamespace(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = fmt.Errorf("%w: there is no file %q; ip netns list shows those with a name", configurer.ErrNoNamespace, path)
	case errors.Is(err, errNoNamespaceFile) && path != nameOrPath:
		// The name is left when the namespace was unmounted only.
		err = fmt.Errorf("%w: %w", configurer.ErrNoNamespace, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening network namespace %q: %w", nameOrPath, err)
	}
	return namespace, nil
}

var errNoNamespaceFile = errors.New("this file isn't a network namespace; use one such as /proc/PID/ns/net")

// openNamespace opens a file and makes sure that it is a network namespace. It
// doesn't wait, should it be a pipe.
func openNamespace(path string) (*os.File, error) {
	fd, err := openFile(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	kind, err := unix.IoctlRetInt(fd, nsGetType)
	if err != nil || kind != unix.CLONE_NEWNET {
		return nil, errors.Join(errNoNamespaceFile, unix.Close(fd))
	}
	// Go's runtime makes ready to poll what doesn't wait.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

// errOwnNamespace keeps `-pid 1` from rewiring the host.
var errOwnNamespace = errors.New("connecting to the container's network namespace: it is netsetgo's own, that of the host; " +
	"name a process or namespace of a container, which has to have its own")

// astray says that a thread couldn't come back from a container's namespace.
var astray atomic.Bool

var errAstray = errors.New("netsetgo couldn't come back from a container's network namespace")

// Connect implements configurer.Kernel. For the socket to a container the calling thread goes
// into its namespace and comes back. Should it fail to, for which the kernel would have to
// lack memory for a few words, the thread is no other goroutine's any more, and no sysctl is
// written from then on: those are of the namespace of who writes them.
func (s System) Connect(container *os.File) (conn configurer.Conn, err error) {
	if container == nil {
		return s.open(true)
	}
	runtime.LockOSThread()
	own, err := s.refuseOwn(container)
	if err == nil {
		defer func() { _ = unix.Close(own) }()
		conn, err = s.enter(container)
		if back := unix.Setns(own, unix.CLONE_NEWNET); back != nil {
			astray.Store(true)
			if err == nil {
				err = conn.Close()
			}
			return nil, errors.Join(fmt.Errorf("%w: %w", errAstray, back), err)
		}
	}
	runtime.UnlockOSThread()
	return conn, err
}

func (s System) enter(container *os.File) (configurer.Conn, error) {
	if err := unix.Setns(int(container.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("entering the container's network namespace: %w", err)
	}
	return s.open(false)
}

// refuseOwn compares a namespace with that of the calling thread, which it opens.
func (s System) refuseOwn(container *os.File) (own int, err error) {
	// Not by number: /proc may be of another pid namespace.
	own, err = openFile("/proc/thread-self/ns/net", unix.O_RDONLY)
	if err != nil {
		return -1, fmt.Errorf("opening netsetgo's own network namespace: %w", err)
	}
	mine, err := inode(own, "of netsetgo's own")
	if err == nil {
		var its uint64
		if its, err = s.Inode(container); err == nil && mine == its {
			err = errOwnNamespace
		}
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(own))
	}
	return own, nil
}

// Inode implements configurer.Kernel.
func (System) Inode(namespace *os.File) (uint64, error) {
	return inode(int(namespace.Fd()), namespace.Name())
}

func inode(fd int, name string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return 0, fmt.Errorf("looking at network namespace %s: %w", name, err)
	}
	return stat.Ino, nil
}
