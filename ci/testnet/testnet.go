// Package testnet gives a spec hosts and containers of its own: network namespaces
// made by plain processes, in which programs are run as a user would run them. It
// never touches the network of the machine that the specs run on.
package testnet

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2" //
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/state"
	"github.com/netsetgo/netsetgo/ci/testbed"
)

// lifetime ends a process that a killed test left, in seconds.
const lifetime = "900"

// RequireRoot skips a spec aloud where namespaces can't be made; in CI it fails.
func RequireRoot() {
	GinkgoHelper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		Fail("root specs need root, and CI must run them")
	}
	Skip("this spec makes network namespaces, which takes root")
}

// Process is a process that holds namespaces open, and the way into them.
type Process struct {
	Pid int
	cmd *exec.Cmd
	// enter begins a command line that runs a program where the process is.
	enter []string
	// reader is of its namespace alone, whose number another may get afterwards.
	reader state.Reader
}

// Host is a host of a spec's own: a network namespace, and a /run of its own,
// where the lock is and the namespaces of `ip netns`.
type Host struct{ Process }

// Container is a process in a network namespace of its own, on a Host.
type Container struct{ Process }

// NewHost makes a host with nothing but lo, which is up. It ends with the spec.
func NewHost() *Host {
	GinkgoHelper()
	RequireRoot()
	script := "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && echo ready && exec sleep " + lifetime
	host := &Host{start("unshare", "--net", "--mount", "--", "sh", "-c", script)}
	host.enter = []string{"nsenter", "--target", strconv.Itoa(host.Pid), "--net", "--mount", "--"}
	return host
}

// NewContainer starts a process on the host in a network namespace of its own.
func (h *Host) NewContainer() *Container {
	GinkgoHelper()
	arguments := slices.Concat(h.enter[1:], []string{"unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep " + lifetime})
	container := &Container{start(h.enter[0], arguments...)}
	container.enter = []string{"nsenter", "--target", strconv.Itoa(container.Pid), "--net", "--mount", "--"}
	return container
}

// start runs a program until it says that it is ready.
func start(name string, arguments ...string) Process {
	GinkgoHelper()
	cmd := exec.Command(name, arguments...)
	cmd.Stderr = GinkgoWriter
	out, err := cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(cmd.Start()).To(Succeed())
	process := Process{Pid: cmd.Process.Pid, cmd: cmd}
	DeferCleanup(process.Kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	Expect(err).NotTo(HaveOccurred(), "%s %v didn't start", name, arguments)
	Expect(line).To(Equal("ready\n"))
	return process
}

// Kill ends the process, and with it its namespaces, if nothing else is in them.
// It may be called twice.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// Command returns a command that runs where the process is.
func (p *Process) Command(arguments ...string) *exec.Cmd {
	arguments = slices.Concat(p.enter, arguments)
	return exec.Command(arguments[0], arguments[1:]...)
}

// Result is how a program ended.
type Result struct {
	Stdout, Stderr string
	Code           int // -1 where a signal ended it
}

// Run runs a program where the process is, with nothing on its standard input.
func (p *Process) Run(arguments ...string) Result { return p.RunWith("", arguments...) }

// RunWith runs a program with a text on its standard input.
func (p *Process) RunWith(stdin string, arguments ...string) Result {
	GinkgoHelper()
	return Finish(p.Command(arguments...), stdin)
}

// Finish runs a command to its end.
func Finish(cmd *exec.Cmd, stdin string) Result {
	GinkgoHelper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		Expect(err).NotTo(HaveOccurred())
	}
	fmt.Fprintf(GinkgoWriter, "$ %s\n%s%s[exit %d]\n", strings.Join(cmd.Args, " "), &stdout, &stderr, cmd.ProcessState.ExitCode())
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Must runs a program that has to succeed, and returns its standard output.
func (p *Process) Must(arguments ...string) string {
	GinkgoHelper()
	result := p.Run(arguments...)
	Expect(result.Code).To(Equal(0), "%v: %s", arguments, result.Stderr)
	return result.Stdout
}

// Sh runs a shell script that has to succeed.
func (p *Process) Sh(script string) string {
	GinkgoHelper()
	return p.Must("sh", "-ec", script)
}

// Pings says whether an address answers within a second.
func (p *Process) Pings(address string) bool {
	GinkgoHelper()
	return p.Run("ping", "-c1", "-W1", address).Code == 0
}

// State is everything that netsetgo could change of a namespace, as package state reads it,
// one fact a line, when the kernel is done with what it does a moment later; where it never
// is, as it is after a while. It isn't written to the spec's report.
func (p *Process) State() string {
	GinkgoHelper()
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.Pid))
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = namespace.Close() }()
	var facts state.State
	_, err = testbed.Eventually(func() (bool, error) {
		facts, err = p.reader.Read(namespace)
		return facts.Settled(), err
	})
	Expect(err).NotTo(HaveOccurred())
	return facts.String()
}

// Changes are the lines that are only in one of two states, each behind a '-' or a
// '+'; "" where there are none.
func Changes(before, after string) string {
	var text strings.Builder
	for _, side := range []struct{ mark, lines, others string }{{"-", before, after}, {"+", after, before}} {
		others := strings.Split(side.others, "\n")
		for line := range strings.Lines(side.lines) {
			if !slices.Contains(others, strings.TrimSuffix(line, "\n")) {
				text.WriteString(side.mark + line)
			}
		}
	}
	return text.String()
}
