package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// watched runs netsetgo and says that it never got so far as to ask the kernel about
// networks, to enter a namespace, or to take the lock.
func watched(host *testnet.Host, stdin string, arguments ...string) testnet.Result {
	GinkgoHelper()
	trace := filepath.Join(GinkgoT().TempDir(), "trace")
	strace := []string{"timeout", "-k1", "20", "strace", "-f", "-o", trace, "-e", "trace=network,setns,flock,execve"}
	result := host.RunWith(stdin, append(strace, arguments...)...)
	calls, err := os.ReadFile(trace)
	Expect(err).NotTo(HaveOccurred())
	Expect(string(calls)).To(ContainSubstring("execve("), "it was watched")
	Expect(string(calls)).NotTo(Or(ContainSubstring("socket(AF_NETLINK"), ContainSubstring("setns("), ContainSubstring("flock(")))
	return result
}

// Bad input is refused by one host for all: it changes nothing.
var _ = Describe("bad input to the binary", Label("root", "long"), Ordered, ContinueOnFailure, func() {
	var (
		host      *testnet.Host
		container *testnet.Container
		// words are what stands for something of the kernel's in a command line.
		words          *strings.Replacer
		onHost, inside string
	)

	BeforeAll(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
		onHost, inside = host.State(), container.State()

		folder := GinkgoT().TempDir()
		Expect(os.WriteFile(folder+"/file", []byte("text"), 0o600)).To(Succeed())
		Expect(unix.Mkfifo(folder+"/fifo", 0o600)).To(Succeed())
		Expect(os.Symlink("loop", folder+"/loop")).To(Succeed())
		words = strings.NewReplacer("PID", strconv.Itoa(container.Pid), "HOST", strconv.Itoa(host.Pid),
			// One more than any process can have (PID_MAX_LIMIT): that of one that has just
			// ended may be another's by now.
			"ENDED", "4194304", "FOLDER", folder,
			"ZOMBIE", zombie(container), "THREAD", thread(container))
	})

	unchanged := func() {
		GinkgoHelper()
		stays(&host.Process, onHost)
		stays(&container.Process, inside)
		Expect(host.Run("ls", "/run/netsetgo.lock").Code).NotTo(Equal(0))
	}

	DescribeTable("refuses flags", func(code int, line string, says string) {
		message := fails(watched(host, "", append([]string{binary}, strings.Split(words.Replace(line), " ")...)...), code)
		Expect(message).To(ContainSubstring(words.Replace(says)))
		unchanged()
	},
		func(code int, line string, _ string) string { return fmt.Sprintf("%q, with status %d", line, code) },
		Entry(nil, 1, "up", "empty"), // and so is standard input
		Entry(nil, 1, "down", "empty"),
		Entry(nil, 1, "up -mtu 1400", "empty"),
		Entry(nil, 2, "-pid 0", "-pid 0"),
		Entry(nil, 2, "-pid -1", "-pid -1"),
		Entry(nil, 2, "-pid 4194305", "-pid 4194305"),
		Entry(nil, 2, "-pid 99999999999999999999", "pid"),
		Entry(nil, 2, "-pid x", "pid"),
		Entry(nil, 2, "-pid ", "pid"),
		Entry(nil, 2, "-pid", "pid"),
		Entry(nil, 1, "-pid ENDED", "process ENDED"),
		Entry(nil, 1, "-pid ZOMBIE", "process ZOMBIE"),
		Entry(nil, 1, "-pid THREAD", "thread"),
		Entry(nil, 1, "-pid HOST", "netsetgo's own"),
		Entry(nil, 1, "down -pid HOST", "netsetgo's own"),
		Entry(nil, 1, "-netns /proc/self/ns/net", "netsetgo's own"),
		Entry(nil, 1, "down -netns /proc/self/ns/net", "netsetgo's own"),
		Entry(nil, 1, "-netns FOLDER", "isn't a network namespace"),
		Entry(nil, 1, "-netns FOLDER/file", "isn't a network namespace"),
		Entry(nil, 1, "-netns FOLDER/fifo", "isn't a network namespace"),
		Entry(nil, 1, "-netns FOLDER/loop", "FOLDER/loop"),
		Entry(nil, 1, "-netns FOLDER/file/x", "FOLDER/file/x"),
		Entry(nil, 1, "-netns /proc/PID/ns/mnt", "isn't a network namespace"),
		Entry(nil, 1, "-netns /dev/null", "isn't a network namespace"),
		Entry(nil, 1, "-netns nowhere", "/run/netns/nowhere"),
		Entry(nil, 2, "-netns ", "-netns"),
		Entry(nil, 2, "-netns ..", "-netns"),
		Entry(nil, 2, "-netns x -pid PID", "-netns"),
		Entry(nil, 2, "-pid PID -bridgeAddress 10.10.10.1", "10.10.10.1"),
		Entry(nil, 2, "-pid PID -bridgeAddress x", "-bridgeAddress"),
		Entry(nil, 2, "-pid PID -bridgeAddress ", "-bridgeAddress"),
		Entry(nil, 2, "-pid PID -bridgeAddress 10.10.10.1/33", "-bridgeAddress"),
		Entry(nil, 2, "-pid PID -bridgeAddress 10.10.10.1/31", "/31"),
		Entry(nil, 2, "-pid PID -bridgeAddress 10.10.10.1/0", "/0"),
		Entry(nil, 2, "-pid PID -bridgeAddress 10.10.10.0/24", "network"),
		Entry(nil, 2, "-pid PID -bridgeAddress 10.10.10.255/24", "broadcast"),
		Entry(nil, 2, "-pid PID -bridgeAddress 127.0.0.1/8", "127.0.0.1"),
		Entry(nil, 2, "-pid PID -bridgeAddress 224.0.0.1/24", "224.0.0.1"),
		Entry(nil, 2, "-pid PID -bridgeAddress fe80::1/64", "for others to reach"),
		Entry(nil, 2, "-pid PID -containerAddress x", "-containerAddress"),
		Entry(nil, 2, "-pid PID -containerAddress 10.10.10.2/", "-containerAddress"),
		Entry(nil, 2, "-pid PID -containerAddress 10.10.10.2/16", "/24"),
		Entry(nil, 2, "-pid PID -containerAddress 10.10.11.2", "10.10.10.0/24"),
		Entry(nil, 2, "-pid PID -containerAddress 10.10.10.1", "gateway"),
		Entry(nil, 2, "-pid PID -containerAddress 10.10.10.0", "network"),
		Entry(nil, 2, "-pid PID -containerAddress 10.10.10.255", "broadcast"),
		Entry(nil, 2, "-pid PID -containerAddress fd00::2", "no address of its family"),
		Entry(nil, 2, "-pid PID -bridgeAddress 10.0.0.1/24,10.0.1.1/24", "two addresses of one family"),
		Entry(nil, 2, "-pid PID -bridgeName sixteen-bytes-it", "16 bytes"),
		Entry(nil, 2, "-pid PID -bridgeName ", "-bridgeName"),
		Entry(nil, 2, "-pid PID -bridgeName a/b", `"a/b"`),
		Entry(nil, 2, "-pid PID -bridgeName ..", `".."`),
		Entry(nil, 2, "-pid PID -bridgeName a%db", `"a%db"`),
		Entry(nil, 2, "-pid PID -bridgeName all", `"all"`),
		Entry(nil, 2, "-pid PID -bridgeName default", `"default"`),
		Entry(nil, 2, "-pid PID -bridgeName lo", `"lo"`),
		Entry(nil, 2, "-pid PID -bridgeName a\tb", `"a\tb"`),
		Entry(nil, 2, "-pid PID -bridgeName \x1b[2J", `"\x1b[2J"`),
		Entry(nil, 2, "-pid PID -bridgeName brücke", "brücke"),
		Entry(nil, 2, "-pid PID -vethNamePrefix twelve-bytes", "12 bytes"),
		Entry(nil, 2, "-pid PID -vethNamePrefix ", "-vethNamePrefix"),
		Entry(nil, 2, "-pid PID -vethNamePrefix veth%d", `"veth%d"`),
		Entry(nil, 2, "-pid PID -vethNamePrefix -veth", `"-veth"`),
		Entry(nil, 2, "-pid PID -containerInterface sixteen-bytes-it", "16 bytes"),
		Entry(nil, 2, "-pid PID -containerInterface ../../x", `"../../x"`),
		Entry(nil, 2, "-pid PID -containerInterface \x1b]0;x\a", `"\x1b]0;x\a"`),
		Entry(nil, 2, "-pid PID -id ", "-id"),
		Entry(nil, 2, "-pid PID -id a/b", `"a/b"`),
		Entry(nil, 2, "-pid PID -id a\nb", `"a\nb"`),
		Entry(nil, 2, "-pid PID -mtu 67", "67"),
		Entry(nil, 2, "-pid PID -mtu 65536", "65536"),
		Entry(nil, 2, "-pid PID -mtu -1", "-1"),
		Entry(nil, 2, "-pid PID -mtu x", "mtu"),
		Entry(nil, 2, "-pid PID -mac x", "-mac"),
		Entry(nil, 2, "-pid PID -mac ", "-mac"),
		Entry(nil, 2, "-pid PID -mac 00:00:00:00:00:00", "zero"),
		Entry(nil, 2, "-pid PID -mac 01:00:00:00:00:01", "even"),
		Entry(nil, 2, "-pid PID -mac 02:00:00:00:00:00:00:01", "six"),
		Entry(nil, 2, "-pid PID -route x", "route"),
		Entry(nil, 2, "-pid PID -route 192.168.0.1/16", "192.168.0.0/16"),
		Entry(nil, 2, "-pid PID -route 192.168.0.0/16,via=1.1.1.1", "1.1.1.1"),
		Entry(nil, 2, "-pid PID -route 192.168.0.0/16,metric=-1", "metric"),
		Entry(nil, 2, "-pid PID -route 192.168.0.0/16,dev=eth0", "dev=eth0"),
		Entry(nil, 2, "-pid PID -route 0.0.0.0/0", "twice"),
		Entry(nil, 2, "-pid PID -route fd00::/64", "no address of its family"),
		Entry(nil, 2, "-pid PID -defaultRoute=maybe", "defaultRoute"),
		Entry(nil, 2, "-pid PID -output xml", "xml"),
		Entry(nil, 2, "-pid PID -timeout 0s", "-timeout"),
		Entry(nil, 2, "-pid PID -timeout -1s", "-timeout"),
		Entry(nil, 2, "-pid PID -timeout soon", "timeout"),
		Entry(nil, 2, "-pid PID extra", `"extra"`),
		Entry(nil, 2, "-pid PID up", `"up"`),
		Entry(nil, 2, "-pid PID -unknown", "unknown"),
		Entry(nil, 2, "sideways -pid PID", `"sideways"`),
		Entry(nil, 2, "version -pid PID", "version"),
	)

	DescribeTable("refuses standard input", func(code int, line, stdin, says string) {
		message := fails(watched(host, words.Replace(stdin), append([]string{binary}, strings.Fields(line)...)...), code)
		Expect(message).To(ContainSubstring(says))
		unchanged()
	},
		Entry("that is empty", 1, "", "", "empty"),
		Entry("that isn't JSON", 1, "", "pid=7", "isn't an OCI state"),
		Entry("that is cut", 1, "", `{"id":"a","status":"cre`, "isn't an OCI state"),
		Entry("that goes on", 1, "", `{"id":"a","status":"created","pid":PID}{}`, "isn't an OCI state"),
		Entry("that is a megabyte", 1, "", `{"id":"a","bundle":"`+strings.Repeat("x", 1<<20)+`"}`, "longer than"),
		Entry("of zeros without end", 1, "", strings.Repeat("\x00", 1<<20), "longer than"),
		Entry("that is nested deeply", 1, "", strings.Repeat("[", 400<<10), "isn't an OCI state"),
		Entry("that is an array", 1, "", `[]`, "isn't an OCI state"),
		Entry("whose pid is a text", 1, "", `{"id":"a","status":"created","pid":"PID"}`, "isn't an OCI state"),
		Entry("whose id is a number", 1, "", `{"id":7,"status":"created","pid":PID}`, "isn't an OCI state"),
		Entry("whose pid is huge", 1, "", `{"id":"a","status":"created","pid":99999999999999999999}`, "isn't an OCI state"),
		Entry("whose pid is negative", 1, "", `{"id":"a","status":"created","pid":-7}`, "-7"),
		Entry("without a status", 1, "", `{"id":"a","pid":PID}`, `status is ""`),
		Entry("that is null", 1, "", `null`, `status is ""`),
		Entry("of an unknown status", 1, "", `{"id":"a","status":"paused\u001b[2J","pid":PID}`, `"paused\x1b[2J"`),
		Entry("of a createContainer hook, with pid 0", 1, "", `{"id":"a","status":"creating","pid":0}`, "createContainer"),
		Entry("that is stopped, with up", 1, "up", `{"id":"a","status":"stopped","pid":0}`, "pid 0"),
		Entry("that is stopped, without an id", 1, "", `{"status":"stopped","pid":0}`, "no id"),
		Entry("with NUL in the id", 2, "", `{"id":"a\u0000b","status":"created","pid":PID}`, `"a\x00b"`),
		Entry("with a terminal's escape in the id", 2, "", `{"id":"a\u001b[2Jb","status":"created","pid":PID}`, `"a\x1b[2Jb"`),
		Entry("with a newline in the id", 2, "", `{"id":"a\nb","status":"created","pid":PID}`, `"a\nb"`),
		Entry("with a slash in the id", 2, "", `{"id":"../b","status":"created","pid":PID}`, `"../b"`),
		Entry("with an id of a megabyte", 1, "", `{"status":"created","pid":PID,"id":"`+strings.Repeat("x", 1<<20)+`"}`, "longer than"),
		Entry("with an id of 2,000 bytes", 2, "", `{"status":"created","pid":PID,"id":"`+strings.Repeat("x", 2000)+`"}`, "2000"),
		Entry("together with a flag that is wrong", 2, "-mtu 67", `{"id":"a","status":"created","pid":PID}`, "67"),
	)
})

// zombie starts a process in the container that has ended, and that nobody waits for.
func zombie(container *testnet.Container) string {
	GinkgoHelper()
	parent := container.Command("sh", "-c", "sleep 900 & echo $!; exec sleep 900")
	out, err := parent.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(parent.Start()).To(Succeed())
	DeferCleanup(func() { _ = parent.Process.Kill(); _ = parent.Wait() })
	var pid int
	_, err = fmt.Fscan(out, &pid)
	Expect(err).NotTo(HaveOccurred())
	read := func(format string, pid int) func() (string, error) {
		return func() (string, error) {
			text, err := os.ReadFile(fmt.Sprintf(format, pid))
			return string(text), err
		}
	}
	// A shell would wait for it.
	Eventually(read("/proc/%d/comm", parent.Process.Pid), "10s", "1ms").Should(Equal("sleep\n"))
	Expect(unix.Kill(pid, unix.SIGKILL)).To(Succeed())
	Eventually(read("/proc/%d/status", pid), "10s", "1ms").Should(ContainSubstring("State:\tZ"))
	return strconv.Itoa(pid)
}

// thread starts a process of several threads in the container, netsetgo itself, which
// waits for its standard input, and returns the number of one that isn't the first.
func thread(container *testnet.Container) string {
	GinkgoHelper()
	process := container.Command(binary, "-timeout", "15m") // it waits for a state
	stdin, err := process.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(process.Start()).To(Succeed())
	DeferCleanup(func() { _ = stdin.Close(); _ = process.Wait() })
	leader := strconv.Itoa(process.Process.Pid)
	var found string
	Eventually(func() string {
		tasks, _ := os.ReadDir("/proc/" + leader + "/task")
		for _, task := range tasks {
			if task.Name() != leader {
				found = task.Name()
			}
		}
		return found
	}, "10s").ShouldNot(BeEmpty())
	return found
}
