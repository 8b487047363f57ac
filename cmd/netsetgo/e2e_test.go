package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// binary is the path of netsetgo, built once for all processes that run specs.
var binary string

var _ = SynchronizedBeforeSuite(func() []byte {
	// Inside a virtual machine it is there already: to build takes long.
	if path := os.Getenv("NETSETGO"); path != "" {
		return []byte(path)
	}
	// Without the version, which git doesn't tell in every folder.
	path, err := gexec.BuildWithEnvironment("github.com/netsetgo/netsetgo/cmd/netsetgo", []string{"CGO_ENABLED=0"}, "-buildvcs=false")
	Expect(err).NotTo(HaveOccurred())
	return []byte(path)
}, func(path []byte) {
	binary = string(path)
	// What a shell left open isn't for netsetgo, whose own files are counted. Kernels before
	// 5.11 can't do so; the guests that have them leave none open.
	_ = unix.CloseRange(3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)
})

var _ = SynchronizedAfterSuite(func() {}, gexec.CleanupBuildArtifacts)

// execute runs the binary on a host, as a user would.
func execute(host *testnet.Host, arguments ...string) testnet.Result {
	GinkgoHelper()
	return host.Run(append([]string{binary}, arguments...)...)
}

// succeeds is of a run that is done: nothing is said, least of all on standard error.
func succeeds(result testnet.Result) {
	GinkgoHelper()
	Expect(result.Stderr).To(BeEmpty())
	Expect(result.Stdout).To(BeEmpty())
	Expect(result.Code).To(Equal(0))
}

// fails is of a run that ended with one line on standard error, which it returns
// without its end.
func fails(result testnet.Result, code int) string {
	GinkgoHelper()
	Expect(result.Stderr).To(MatchRegexp(`\Anetsetgo: [^[:cntrl:]]+\n\z`))
	Expect(result.Stdout).To(BeEmpty())
	Expect(result.Code).To(Equal(code), result.Stderr)
	return result.Stderr[:len(result.Stderr)-1]
}

// up connects a container and says that it succeeds.
func up(host *testnet.Host, container *testnet.Container, flags ...string) {
	GinkgoHelper()
	succeeds(execute(host, append([]string{"-pid", strconv.Itoa(container.Pid)}, flags...)...))
}

// down disconnects a container and says that it succeeds.
func down(host *testnet.Host, container *testnet.Container, flags ...string) {
	GinkgoHelper()
	succeeds(execute(host, append([]string{"down", "-pid", strconv.Itoa(container.Pid)}, flags...)...))
}

// stays says that the state of a place is as it was.
func stays(where *testnet.Process, before string) {
	GinkgoHelper()
	Expect(testnet.Changes(before, where.State())).To(BeEmpty())
}

// settle waits for what the kernel does later, such as to let go of the namespace of a
// socket that was closed: to delete a link waits for all of that (rcu_barrier in
// netdev_run_todo, net/core/dev.c).
func settle(host *testnet.Host) {
	GinkgoHelper()
	host.Sh("ip link add settle type veth peer name settled; ip link delete settle")
}

// ociState is what a runtime writes to a hook's standard input.
func ociState(id, status string, pid int) string {
	return fmt.Sprintf(`{"ociVersion":"1.0.2","id":%q,"status":%q,"pid":%d,"bundle":"/bundle"}`, id, status, pid)
}

// link is a network interface as `ip -json -details address` has it.
type link struct {
	Index     int      `json:"ifindex"`
	PeerIndex int      `json:"link_index"`
	Name      string   `json:"ifname"`
	Flags     []string `json:"flags"`
	MTU       int      `json:"mtu"`
	Bridge    string   `json:"master"`
	Group     string   `json:"group"`
	MAC       string   `json:"address"`
	Alias     string   `json:"ifalias"`
	Altnames  []string `json:"altnames"`
	Details   struct {
		Kind string `json:"info_kind"`
	} `json:"linkinfo"`
	Addresses []struct {
		Family string `json:"family"`
		IP     string `json:"local"`
		Bits   int    `json:"prefixlen"`
	} `json:"addr_info"`
}

// prefixes are all addresses of the link, of both families.
func (l link) prefixes() []string {
	prefixes := []string{}
	for _, address := range l.Addresses {
		prefixes = append(prefixes, fmt.Sprintf("%s/%d", address.IP, address.Bits))
	}
	return prefixes
}

// links are the network interfaces where a process is, by their names.
func links(where *testnet.Process) map[string]link {
	GinkgoHelper()
	var list []link
	Expect(json.Unmarshal([]byte(where.Must("ip", "-json", "-details", "address")), &list)).To(Succeed())
	byName := map[string]link{}
	for _, each := range list {
		byName[each.Name] = each
	}
	return byName
}

// address is the first one of a container's interface, without its prefix; "" where
// it has none.
func address(container *testnet.Container, name string) string {
	GinkgoHelper()
	addresses := links(&container.Process)[name].Addresses
	if len(addresses) == 0 {
		return ""
	}
	return addresses[0].IP
}

// scene is a host with a container, which `ip netns` calls blue. Two that were prepared
// alike are alike, as far as every link was given a MAC.
type scene struct {
	host      *testnet.Host
	container *testnet.Container
}

func newScene(prepare func(scene)) scene {
	GinkgoHelper()
	host := testnet.NewHost()
	s := scene{host, host.NewContainer()}
	host.Must("ip", "netns", "attach", "blue", strconv.Itoa(s.container.Pid))
	if prepare != nil {
		prepare(s)
	}
	return s
}

// run runs netsetgo with a command line, behind which an OCI state may stand. PID is
// the container's.
func (s scene) run(line string) testnet.Result {
	GinkgoHelper()
	flags, state := splitState(strings.ReplaceAll(line, "PID", strconv.Itoa(s.container.Pid)))
	return s.host.RunWith(state, append([]string{binary}, strings.Fields(flags)...)...)
}

// dry is a dry run of a command line.
func (s scene) dry(line string) testnet.Result {
	GinkgoHelper()
	flags, state := splitState(line)
	return s.run(flags + " -dryRun " + state)
}

func splitState(line string) (flags, state string) {
	if i := strings.Index(line, `{"ociVersion"`); i >= 0 {
		return line[:i], line[i:]
	}
	return line, ""
}

// plan is what a dry run prints that succeeds.
func (s scene) plan(line string) string {
	GinkgoHelper()
	result := s.dry(line)
	Expect(result.Stderr).To(BeEmpty())
	Expect(result.Code).To(Equal(0))
	return result.Stdout
}

// reports are what sysctl(8) and conntrack(8) say though all is well.
var reports = regexp.MustCompile(`(?m)^(net\..* = .*|(udp|tcp|sctp) .* src=.*|conntrack v.*: \d+ flow entries have been deleted\.)\n`)

// paste gives commands to a shell on the host, as a user would.
func (s scene) paste(commands string) {
	GinkgoHelper()
	result := s.host.RunWith(commands, "sh", "-e")
	result.Stdout, result.Stderr = reports.ReplaceAllString(result.Stdout, ""), reports.ReplaceAllString(result.Stderr, "")
	Expect(result).To(Equal(testnet.Result{}), commands)
}

// owner is the one thing that differs between two scenes: a namespace's inode.
var owner = regexp.MustCompile(`netsetgo:n:[0-9a-f]{4}:([^:]+):\d+`)

// state is that of host and container.
func (s scene) state() string {
	GinkgoHelper()
	text := s.host.State() + "\n--- in the container\n" + s.container.State()
	return owner.ReplaceAllString(text, "owner of $1")
}

// files are those of /run.
func (s scene) files() string {
	GinkgoHelper()
	return s.host.Sh(`find /run -printf '%p %y %m %s %l\n' | sort`)
}

// areAlike says that two scenes have the same state. The kernel settles some of that a
// little later than it answers.
func areAlike(one, two scene) {
	GinkgoHelper()
	Eventually(func() string { return testnet.Changes(one.state(), two.state()) }).WithTimeout(20 * time.Second).Should(BeEmpty())
}
