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

// firstOfThird is where to begin with a third of a run's calls: with another as the seed is,
// so that it is all of them in a few runs.
func firstOfThird() int { return 1 + int(GinkgoRandomSeed()%3) }

// strace is a command that runs the binary and interferes with its calls, which it counts
// for each thread. netsetgo makes them by one, which needn't be the first, but for what goes
// into the container's namespace.
func strace(host *testnet.Host, call, interference string, arguments ...string) *exec.Cmd {
	line := []string{"strace", "--follow-forks", "-qq", "-o", trace, "-e", "trace=" + call, "-e", "inject=" + call + ":" + interference, binary}
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

// vanishes says that a host's attachments go by themselves. The kernel takes a moment
// for it: sockets in the container's namespace hold on to that for as long as an RCU
// grace period after they are closed.
func vanishes(host *testnet.Host) {
	GinkgoHelper()
	Eventually(func() string { return host.Must("ip", "link", "show", "type", "veth") }).
		WithTimeout(5 * time.Second).WithPolling(5 * time.Millisecond).Should(BeEmpty())
}

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

// All else that can happen to a call, ci/faults sees to.
var _ = Describe("interference with a call", Label("root"), func() {
	It("by the end of the container is no harm", Label("long"), func() {
		host := testnet.NewHost()
		before := host.State()
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
