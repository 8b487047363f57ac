package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// held is a run that is stopped after one of its messages to the kernel.
type held struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	done           chan struct{}
}

// hold starts a run and stops it behind its nth message: nil where it has ended
// before.
func hold(host *testnet.Host, n int, arguments ...string) *held {
	GinkgoHelper()
	_ = os.Remove(onHost(host, trace))
	run := &held{cmd: strace(host, "sendto", fmt.Sprintf("signal=STOP:when=%d", n), arguments...), done: make(chan struct{})}
	run.cmd.Stdout, run.cmd.Stderr = &run.stdout, &run.stderr
	run.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	Expect(run.cmd.Start()).To(Succeed())
	go func() { _ = run.cmd.Wait(); close(run.done) }()
	DeferCleanup(func() {
		select {
		case <-run.done: // its number may be another's by now
		default:
			_ = syscall.Kill(-run.cmd.Process.Pid, syscall.SIGKILL)
		}
		Eventually(run.done).Should(BeClosed())
	})
	ended := false
	Eventually(func() bool {
		select {
		case <-run.done:
			ended = true
		default:
		}
		return ended || strings.Contains(traced(host), "stopped by SIGSTOP")
	}).WithTimeout(10 * time.Second).WithPolling(time.Millisecond).Should(BeTrue())
	if ended {
		Expect(run.cmd.ProcessState.ExitCode()).To(Equal(0), run.stderr.String())
		return nil
	}
	return run
}

// goOn lets the run end.
func (run *held) goOn() testnet.Result {
	GinkgoHelper()
	Expect(syscall.Kill(-run.cmd.Process.Pid, syscall.SIGCONT)).To(Succeed())
	Eventually(run.done).WithTimeout(20 * time.Second).Should(BeClosed())
	return testnet.Result{Stdout: run.stdout.String(), Stderr: run.stderr.String(), Code: run.cmd.ProcessState.ExitCode()}
}

// inShell keeps a script going round in a container.
func inShell(container *testnet.Container, script string) *exec.Cmd {
	GinkgoHelper()
	cmd := container.Command("sh", "-c", "while :; do\n"+script+"\ndone >/dev/null 2>&1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd
}

// freeze stops the container's script, so that what is there can be looked at.
func freeze(cmd *exec.Cmd) {
	GinkgoHelper()
	Expect(syscall.Kill(-cmd.Process.Pid, syscall.SIGSTOP)).To(Succeed())
	Eventually(func() []string { return running(cmd.Process.Pid) }).WithTimeout(20 * time.Second).WithPolling(time.Millisecond).Should(BeEmpty())
}

// running are the processes of a group that may still change something. A shell in
// state D waits for a child that is stopped on its way to its program (vfork(2)).
func running(group int) []string {
	GinkgoHelper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	Expect(err).NotTo(HaveOccurred())
	var found []string
	for _, path := range paths {
		text, _ := os.ReadFile(path) // nothing where it ended meanwhile
		// pid (name) state parent group ..., proc_pid_stat(5)
		end := bytes.LastIndexByte(text, ')') + 1
		fields := strings.Fields(string(text[end:]))
		if len(fields) < 3 || fields[2] != strconv.Itoa(group) || strings.Contains("TZX", fields[0]) {
			continue
		}
		if fields[0] != "D" || !bytes.HasSuffix(text[:end], []byte("(sh)")) {
			found = append(found, string(text))
		}
	}
	return found
}

func thaw(cmd *exec.Cmd) {
	GinkgoHelper()
	Expect(syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT)).To(Succeed())
}

// isOnlyOurs says that netsetgo's address, and routes by its bridge, are nowhere in the
// container but on the peer of a host link.
func isOnlyOurs(host *testnet.Host, container *testnet.Container) {
	GinkgoHelper()
	onHost := map[int]link{}
	for _, each := range links(&host.Process) {
		onHost[each.Index] = each
	}
	ours := map[string]bool{}
	for name, each := range links(&container.Process) {
		end := onHost[each.PeerIndex]
		ours[name] = each.Details.Kind == "veth" && end.Group == group && end.PeerIndex == each.Index
		for _, prefix := range each.prefixes() {
			if strings.HasPrefix(prefix, "10.10.10.") {
				Expect(ours[name]).To(BeTrue(), "%s is on %s, which is another's: %+v", prefix, name, each)
			}
		}
	}
	var routes []struct{ Dst, Gateway, Dev string }
	Expect(json.Unmarshal([]byte(container.Must("ip", "-json", "route")), &routes)).To(Succeed())
	for _, route := range routes {
		if route.Gateway == "10.10.10.1" {
			Expect(ours[route.Dev]).To(BeTrue(), "the route %+v is by another's link", route)
		}
	}
}

var _ = Describe("a container that works against it", Label("root"), func() {
	var host *testnet.Host
	var before string
	BeforeEach(func() {
		host = testnet.NewHost()
		before = host.State()
	})

	DescribeTable("never gets the address on another link, while it does as it likes", Label("long"), func(script string) {
		const rounds = 10
		done := 0
		for range rounds {
			container := host.NewContainer()
			loop := inShell(container, script)
			result := execute(host, "-pid", strconv.Itoa(container.Pid), "-id", "web")
			freeze(loop)
			if result.Code == 0 {
				succeeds(result)
				done++
			} else {
				fails(result, 1)
				Expect(links(&host.Process)).To(HaveLen(1))
			}
			isOnlyOurs(host, container)
			thaw(loop)
			down(host, container)
			Expect(links(&host.Process)).To(HaveLen(1))
			_ = syscall.Kill(-loop.Process.Pid, syscall.SIGKILL)
			container.Kill()
		}
		Expect(host.State()).To(Equal(before))
		GinkgoWriter.Printf("%d of %d runs were done\n", done, rounds)
	},
		Entry("makes, renames and deletes bridges of the name", `
			ip -force -batch - <<EOF
link add name veth1 type bridge
link set dev veth1 name x
link add name veth1 type bridge
link set dev veth1 up
link delete dev x
link delete dev veth1
EOF`),
		Entry("makes pairs of the name, and deletes what it finds", `
			ip -force -batch - <<EOF
link delete dev veth1
link add name veth1 type veth peer name veth0
link set dev veth0 up
link set dev veth1 up
link delete dev veth1
EOF`),
		Entry("renames what it finds, and gives its name to others", `
			ip -force -batch - <<EOF
link set dev veth1 name eth0
link property add dev lo altname veth1
link property del dev lo altname veth1
link add name veth1 type bridge
link delete dev veth1 type bridge
link set dev eth0 name veth1
EOF`),
		Entry("puts a link of its own in the place of what it finds", `
			i=$(ip -oneline link show dev veth1 | cut -d: -f1)
			if [ -n "$i" ]; then
				ip -force -batch - <<EOF
link delete dev veth1
link add name veth1 index $i type bridge
link set dev veth1 up
EOF
			fi
			ip link delete dev veth1 type bridge`),
	)

	// The same without luck: the run is stopped behind each of its messages in turn, and
	// goes on when the container has done it.
	DescribeTable("never gets the address on another link, whenever it does it", Label("long"), func(script string) {
		failed := 0
		for n := 1; ; n++ {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("behind message %d", n))
			container := host.NewContainer()
			run := hold(host, n, "-pid", strconv.Itoa(container.Pid))
			container.Run("sh", "-c", script)
			if run != nil {
				if result := run.goOn(); result.Code != 0 {
					failed++
					Expect(fails(result, 1)).NotTo(ContainSubstring("undoing"), "what went by itself is undone")
					Expect(links(&host.Process)).To(HaveLen(1))
				}
			}
			isOnlyOurs(host, container)
			down(host, container)
			Expect(links(&host.Process)).To(HaveLen(1))
			container.Kill()
			if run == nil {
				break
			}
		}
		Expect(host.State()).To(Equal(before))
		Expect(failed).To(BeNumerically(">=", 1))
	},
		Entry("makes a bridge of the name", "ip link add name veth1 type bridge && ip link set dev veth1 up"),
		Entry("renames its interface and makes another", "ip link set dev veth1 name x; ip link add name veth1 type bridge; ip link set dev veth1 up"),
		Entry("deletes its interface and makes another of the same name and index", `
			i=$(ip -oneline link show dev veth1 | cut -d: -f1)
			ip link delete dev veth1
			ip link add name veth1 index ${i:-2} type bridge
			ip link set dev veth1 up`),
		Entry("deletes its interface and makes a pair of the same name and index", `
			i=$(ip -oneline link show dev veth1 | cut -d: -f1)
			ip link delete dev veth1
			ip link add name veth1 index ${i:-2} type veth peer name veth0
			ip link set dev veth0 up; ip link set dev veth1 up`),
		Entry("takes the address", "ip link set dev veth1 up; ip address add 10.10.10.2/24 dev veth1"),
		Entry("adds a default route", "ip link set dev lo up; ip route add default dev lo"),
		Entry("moves its interface away", "unshare --net sleep 9 & ip link set dev veth1 netns $!; kill $!"),
	)

	// A pair inside the container says that its other end has an index, which on the host
	// is that of another container's host link.
	DescribeTable("isn't believed where its interface leads to", func(finished bool, shift int) {
		other := host.NewContainer()
		up(host, other)
		if !finished {
			host.Sh("for name in $(ip link show dev veth0 | grep -o 'netsetgo:n:.*'); do ip link property del dev veth0 altname $name; done")
		}
		inside, end := links(&other.Process)["veth1"].Index, links(&host.Process)["veth0"].Index
		container := host.NewContainer()
		container.Sh(fmt.Sprintf("ip link add name veth1 index %d type veth peer name other index %d", inside+shift, end))
		hostBefore, otherBefore, containerBefore := host.State(), other.State(), container.State()
		line := fails(execute(host, "-pid", strconv.Itoa(container.Pid)), 1)
		Expect(line).To(ContainSubstring("isn't netsetgo's"))
		down(host, container)
		Expect(host.State()).To(Equal(hostBefore))
		Expect(other.State()).To(Equal(otherBefore))
		Expect(container.State()).To(Equal(containerBefore))
	},
		Entry("with the same index as the other's", true, 0),
		Entry("with another index", true, 50),
		Entry("with the same index as one that a killed run left", false, 0),
		Entry("with another index than one that a killed run left", false, 50),
	)

	It("keeps a pair that somebody else made, also from the host", func() {
		container := host.NewContainer()
		host.Sh(fmt.Sprintf("ip link add name mine type veth peer name veth1 netns %d; ip link set dev mine up", container.Pid))
		// The kernel says so a moment later.
		Eventually(func() string { return host.Must("ip", "link", "show", "dev", "mine") }).Should(ContainSubstring("NO-CARRIER"))
		hostBefore, containerBefore := host.State(), container.State()
		line := fails(execute(host, "-pid", strconv.Itoa(container.Pid)), 1)
		Expect(line).To(ContainSubstring("isn't netsetgo's"))
		down(host, container)
		Expect(host.State()).To(Equal(hostBefore))
		Expect(container.State()).To(Equal(containerBefore))
	})
})
