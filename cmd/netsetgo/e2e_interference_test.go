package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// trace is where strace writes on a host; injection begins the mark that it leaves
// on a call that it interfered with.
const (
	trace     = "/run/strace"
	injection = ` \((INJECTED|DELAYED)\)|killed by SIGKILL|stopped by SIGSTOP`
)

// most is more calls of one kind than any run makes.
const most = 200

// strace is a command that runs the binary and interferes with its calls, which it counts
// for each thread. Only the main thread is looked at, to which netsetgo keeps, but for what
// goes into the container's namespace.
func strace(host *testnet.Host, call, interference string, arguments ...string) *exec.Cmd {
	line := []string{"strace", "-qq", "-o", trace, "-e", "trace=" + call, "-e", "inject=" + call + ":" + interference}
	if call == "setns" {
		line = append(line, "--follow-forks")
	}
	line = append(line, binary)
	return host.Command(append(line, arguments...)...)
}

// onHost is a path of a host, as seen from here.
func onHost(host *testnet.Host, path string) string {
	return fmt.Sprintf("/proc/%d/root%s", host.Pid, path)
}

// traced reads what strace wrote.
func traced(host *testnet.Host) string {
	GinkgoHelper()
	text, err := os.ReadFile(onHost(host, trace))
	if !os.IsNotExist(err) {
		Expect(err).NotTo(HaveOccurred())
	}
	return string(text)
}

// interfere runs the binary with one interference, and says whether it came to it.
func interfere(host *testnet.Host, call, interference string, arguments ...string) (testnet.Result, bool) {
	GinkgoHelper()
	result := testnet.Finish(strace(host, call, interference, arguments...), "")
	return result, regexp.MustCompile(injection).MatchString(traced(host))
}

// connectedRight says that a container is connected, and by one host link only.
func connectedRight(host *testnet.Host, container *testnet.Container) {
	GinkgoHelper()
	inside := links(&container.Process)["veth1"]
	Expect(inside.prefixes()).To(HaveLen(1))
	Expect(inside.Flags).To(ContainElement("LOWER_UP"))
	var peers []int
	for _, each := range links(&host.Process) {
		if each.Bridge != "" && each.Group == group {
			peers = append(peers, each.Index)
			Expect(each.Altnames).To(HaveLen(2), "a lease and an owner")
		}
	}
	Expect(peers).To(ConsistOf(inside.PeerIndex))
	Expect(container.Must("ip", "route")).To(ContainSubstring("default via 10.10.10.1 dev veth1"))
	Expect(container.Pings("10.10.10.1")).To(BeTrue())
}

// vanishes says that a host's attachments go by themselves. The kernel takes a moment
// for it: sockets in the container's namespace hold on to that for as long as an RCU
// grace period after they are closed.
func vanishes(host *testnet.Host) {
	GinkgoHelper()
	Eventually(func() string { return host.Must("ip", "link", "show", "type", "veth") }).
		WithTimeout(5 * time.Second).WithPolling(5 * time.Millisecond).Should(BeEmpty())
}

// group is netsetgo's mark, as ip prints it.

// holdLock holds the lock of a host alone, as a run that removes a bridge does.
func holdLock(host *testnet.Host) (release func()) {
	GinkgoHelper()
	cmd := host.Command("flock", "--exclusive", "/run/netsetgo.lock", "sh", "-c", "touch /run/held; exec cat")
	input, err := cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() { _ = input.Close(); _ = cmd.Wait() })
	Eventually(onHost(host, "/run/held")).Should(BeAnExistingFile())
	return func() { _ = input.Close(); _ = cmd.Wait() }
}

var _ = Describe("interference with a call", Label("root"), func() {
	var host *testnet.Host
	var before string
	BeforeEach(func() {
		host = testnet.NewHost()
		before = host.State()
	})

	// Every call of a kind in turn, until a run makes fewer of them. A call that fails
	// undoes all before it; or it didn't matter, and all is right.
	DescribeTable("is undone, whichever call it is", func(call, interference string, least int) {
		failed := 0
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("%s %d", call, n))
			container := host.NewContainer()
			containerBefore := container.State()
			result, hit := interfere(host, call, fmt.Sprintf("%s:when=%d", interference, n), "-pid", strconv.Itoa(container.Pid))
			if result.Code == 0 {
				succeeds(result)
				connectedRight(host, container)
				down(host, container)
			} else {
				failed++
				Expect(hit).To(BeTrue(), result.Stderr)
				fails(result, 1)
				Expect(container.State()).To(Equal(containerBefore))
			}
			Expect(host.State()).To(Equal(before))
			container.Kill()
			if !hit {
				break
			}
		}
		Expect(failed).To(BeNumerically(">=", least))
	},
		Entry("a message that can't be sent", "sendto", "error=ENOBUFS", 2),
		Entry("an answer that is lost", "recvmsg", "error=ENOBUFS", 2),
		Entry("a namespace that can't be entered", "setns", "error=EPERM", 1),
		Entry("a socket that can't be opened", "socket", "error=EMFILE", 2),
		Entry("a lock that can't be had", "flock", "error=ENOLCK", 2),
	)

	It("by a delay beyond -timeout is undone, whichever call it is", func() {
		failed := 0
		for n := 1; ; {
			Expect(failed).To(BeNumerically("<", most))
			By(fmt.Sprintf("message %d", n))
			container := host.NewContainer()
			containerBefore := container.State()
			result, hit := interfere(host, "sendto", fmt.Sprintf("delay_exit=80ms:when=%d", n),
				"-pid", strconv.Itoa(container.Pid), "-timeout", "50ms")
			if result.Code == 0 {
				connectedRight(host, container)
				down(host, container)
			} else {
				failed++
				Expect(fails(result, 1)).To(ContainSubstring("the time given by -timeout is over"))
				Expect(container.State()).To(Equal(containerBefore))
			}
			Expect(host.State()).To(Equal(before))
			container.Kill()
			switch {
			case hit:
				n++
			case result.Code == 0:
				Expect(failed).To(BeNumerically(">=", 10))
				return
			}
			// Otherwise the machine itself was too slow to come to the message in time.
		}
	})

	It("by a kill at any call leaves what the same run finishes", func() {
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("killed at message %d", n))
			container := host.NewContainer()
			result, hit := interfere(host, "sendto", fmt.Sprintf("signal=KILL:when=%d", n), "-pid", strconv.Itoa(container.Pid))
			if hit {
				Expect(result.Code).NotTo(BeZero())
			} else {
				Expect(result.Code).To(BeZero())
			}
			up(host, container)
			connectedRight(host, container)
			down(host, container)
			Expect(host.State()).To(Equal(before))
			container.Kill()
			if !hit {
				break
			}
		}
	})

	It("by a kill at any call leaves what goes with the container", func() {
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("killed at message %d", n))
			container := host.NewContainer()
			_, hit := interfere(host, "sendto", fmt.Sprintf("signal=KILL:when=%d", n), "-pid", strconv.Itoa(container.Pid), "-id", "web")
			container.Kill()
			vanishes(host)
			succeeds(execute(host, "down", "-id", "web"))
			Expect(host.State()).To(Equal(before))
			if !hit {
				break
			}
		}
	})

	DescribeTable("with down leaves what the next down removes", func(interference string) {
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("message %d", n))
			container := host.NewContainer()
			up(host, container, "-id", "web")
			_, hit := interfere(host, "sendto", fmt.Sprintf("%s:when=%d", interference, n), "down", "-id", "web")
			succeeds(execute(host, "down", "-id", "web"))
			Expect(host.State()).To(Equal(before))
			container.Kill()
			if !hit {
				break
			}
		}
	},
		Entry("by a kill", "signal=KILL"),
		Entry("by an error", "error=ENOBUFS"),
	)

	It("by the end of the container is no harm", func() {
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("ended behind message %d", n))
			container := host.NewContainer()
			run := hold(host, n, "-pid", strconv.Itoa(container.Pid))
			container.Kill()
			if run != nil {
				if result := run.goOn(); result.Code != 0 {
					fails(result, 1)
				}
			}
			vanishes(host)
			succeeds(execute(host, "down", "-id", "any"))
			Expect(host.State()).To(Equal(before))
			if run == nil {
				break
			}
		}
	})
})
