package kernel_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/netsetgo/netsetgo/ci/testbed"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

func TestKernel(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "kernel")
}

// onHost runs each node of a container on a thread that is a host of its own: a
// network namespace, and a /run for the lock and the namespaces of `ip netns`.
// Nodes don't share it, so that specs here prepare all they need in their It. The
// thread ends with the node, because it is never unlocked.
var onHost = AroundNode(func(ctx context.Context, body func(context.Context)) {
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		Expect(unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_FS)).To(Succeed())
		Expect(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")).To(Succeed())
		Expect(unix.Mount("tmpfs", "/run", "tmpfs", 0, "")).To(Succeed())
		Expect(os.Mkdir("/run/netns", 0o755)).To(Succeed())
	}
	body(ctx)
})

// sh runs a shell script where the spec's thread is.
func sh(script string, args ...any) string {
	GinkgoHelper()
	out, err := exec.Command("sh", "-ec", fmt.Sprintf(script, args...)).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return string(out)
}

// newNamespace makes a network namespace that lives as long as the file, or as
// something in it.
func newNamespace() *os.File {
	GinkgoHelper()
	namespace, err := testbed.NewNamespace()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = namespace.Close() })
	return namespace
}

// in runs a shell script in a namespace.
func in(namespace *os.File, script string, args ...any) string {
	GinkgoHelper()
	cmd := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), namespace.Fd()), "sh", "-ec", fmt.Sprintf(script, args...))
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return string(out)
}

// connect opens a connection that ends with the spec; nil is the spec's own host.
func connect(namespace *os.File) configurer.Conn {
	GinkgoHelper()
	conn, err := kernel.System{}.Connect(namespace)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = conn.Close() })
	return conn
}

// link returns a link that has to be there.
func link(conn configurer.Conn, name string) configurer.Link {
	GinkgoHelper()
	found, err := conn.Link(configurer.Which{Name: name})
	Expect(err).NotTo(HaveOccurred(), name)
	return found
}

// do makes changes that have to succeed.
func do(conn configurer.Conn, changes ...configurer.Change) {
	GinkgoHelper()
	for i, err := range try(conn, changes...) {
		Expect(err).NotTo(HaveOccurred(), "%T", changes[i])
	}
}

// try makes changes that may fail.
func try(conn configurer.Conn, changes ...configurer.Change) []error {
	var steps []configurer.Step
	for _, change := range changes {
		steps = append(steps, configurer.Step{Change: change})
	}
	return conn.Do(steps...)
}

// addBridge and addPair make what specs need again and again.
func addBridge(conn configurer.Conn, name string) int {
	GinkgoHelper()
	change := configurer.AddBridge{Name: name, MAC: mac("02:00:00:00:00:01"), Group: 7, Index: new(int)}
	do(conn, change)
	return *change.Index
}

func addPair(conn configurer.Conn, master int, name string, namespace *os.File, peer string) (host, inside int) {
	GinkgoHelper()
	change := pair(master, name, namespace, peer)
	do(conn, change)
	made, err := conn.Link(configurer.Which{Index: *change.Index})
	Expect(err).NotTo(HaveOccurred())
	return *change.Index, made.Peer
}

func pair(master int, name string, namespace *os.File, peer string) configurer.AddPair {
	return configurer.AddPair{
		Name: name, MAC: mac("02:00:00:00:00:02"), Master: master, MTU: 1400, Group: 7,
		Peer: peer, PeerMAC: mac("02:00:00:00:00:03"), PeerNamespace: namespace,
		Index: new(int), CanLock: new(bool),
	}
}

func mac(text string) net.HardwareAddr {
	GinkgoHelper()
	parsed, err := net.ParseMAC(text)
	Expect(err).NotTo(HaveOccurred())
	return parsed
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// descriptors is how many files this process has open.
func descriptors() int {
	GinkgoHelper()
	entries, err := os.ReadDir("/proc/self/fd")
	Expect(err).NotTo(HaveOccurred())
	return len(entries)
}
