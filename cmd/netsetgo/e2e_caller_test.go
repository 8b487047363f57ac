package main_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// Who calls, and from where, where that isn't root on a host.
var _ = Describe("a caller of the binary", Label("root"), func() {
	var (
		host           *testnet.Host
		container      *testnet.Container
		onHost, inside string
		// readable is a copy of the binary that everybody can run.
		readable string
	)

	BeforeEach(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
		readable = "/run/netsetgo"
		host.Must("install", "-m755", binary, readable)
		onHost, inside = host.State(), container.State()
	})

	unchanged := func() {
		GinkgoHelper()
		stays(&host.Process, onHost)
		stays(&container.Process, inside)
		Expect(host.Run("ls", "/run/netsetgo.lock").Code).NotTo(Equal(0))
	}

	DescribeTable("is told which capability is missing", func(program string, missing, others []string) {
		for _, verb := range []string{"up", "down"} {
			line := append(strings.Fields(program), readable, verb, "-pid", strconv.Itoa(container.Pid))
			message := fails(watched(host, "", line...), 1)
			for _, name := range missing {
				Expect(message).To(ContainSubstring(name))
			}
			for _, name := range others {
				Expect(message).NotTo(ContainSubstring(name))
			}
			Expect(message).To(ContainSubstring("root"))
		}
		unchanged()
	},
		Entry("not root", "setpriv --reuid=65534 --regid=65534 --clear-groups",
			[]string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}, nil),
		Entry("root without CAP_NET_ADMIN", "setpriv --bounding-set=-net_admin --inh-caps=-net_admin",
			[]string{"CAP_NET_ADMIN"}, []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}),
		Entry("root without CAP_SYS_ADMIN", "setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin",
			[]string{"CAP_SYS_ADMIN"}, []string{"CAP_NET_ADMIN", "CAP_SYS_PTRACE"}),
		Entry("root without CAP_SYS_PTRACE", "setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace",
			[]string{"CAP_SYS_PTRACE"}, []string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN"}),
	)

	// Process 1 is here one that is on the same host as netsetgo, and its ancestor.
	DescribeTable("can't name the host's first process", func(code int, stdin, arguments, says string) {
		line := fmt.Sprintf("%s %s; exit $?", binary, arguments)
		message := fails(watched(host, stdin, "unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", line), code)
		Expect(message).To(ContainSubstring(says))
		unchanged()
	},
		Entry("by -pid", 1, "", "-pid 1", "netsetgo's own"),
		Entry("by down and -pid", 1, "", "down -pid 1", "netsetgo's own"),
		Entry("by -netns", 1, "", "-netns /proc/1/ns/net", "netsetgo's own"),
		Entry("by an OCI state, as that of a createContainer hook", 1, ociState("a", "creating", 1), "", "createContainer"),
		Entry("by an OCI state and up", 1, ociState("a", "created", 1), "up", "createContainer"),
	)

	DescribeTable("at a terminal is shown the usage", func(arguments ...string) {
		terminal := openTerminal()
		var stdout, stderr bytes.Buffer
		command := host.Command(append([]string{"timeout", "20", binary}, arguments...)...)
		command.Stdin, command.Stdout, command.Stderr = terminal, &stdout, &stderr
		Expect(command.Run()).NotTo(Succeed())
		Expect(command.ProcessState.ExitCode()).To(Equal(2))
		Expect(stderr.String()).To(And(HavePrefix("usage: netsetgo"), ContainSubstring("-pid N\n")))
		Expect(stdout.String()).To(BeEmpty())
		unchanged()
	},
		Entry("without arguments"),
		Entry("with up", "up"),
		Entry("with down", "down"),
		Entry("with flags that name no container", "-bridgeName", "br2"),
	)

	It("at a terminal can name a container", func() {
		command := host.Command("timeout", "20", binary, "-pid", strconv.Itoa(container.Pid))
		command.Stdin = openTerminal()
		Expect(command.CombinedOutput()).To(BeEmpty())
		command = host.Command("timeout", "20", binary, "down", "-id", "web")
		command.Stdin = openTerminal()
		Expect(command.CombinedOutput()).To(BeEmpty())
	})

	It("without a standard input is told so", func() {
		result := host.Run("sh", "-c", binary+" <&-")
		Expect(fails(result, 1)).To(ContainSubstring("standard input"))
		unchanged()
	})

	It("is told that the result can't be printed", func() {
		result := host.Run("sh", "-c", fmt.Sprintf("%s -pid %d -output json >/dev/full", binary, container.Pid))
		Expect(fails(result, 1)).To(ContainSubstring("no space left"))
		stays(&host.Process, onHost)
		Expect(links(&container.Process)).To(HaveLen(1))
	})
})

// openTerminal opens a pseudo terminal, and returns the end that a program sits at.
func openTerminal() *os.File {
	GinkgoHelper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(master.Close)
	Expect(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)).To(Succeed())
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	Expect(err).NotTo(HaveOccurred())
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(terminal.Close)
	return terminal
}
