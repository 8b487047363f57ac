package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// hook is an entry of a bundle's hooks (runtime-spec, config.md, POSIX-platform Hooks).
type hook struct {
	Path    string   `json:"path"`
	Args    []string `json:"args,omitempty"`
	Timeout int      `json:"timeout,omitempty"`
}

type hooks map[string][]hook

// netsetgoHook is the hook of the README, with the binary under test.
func netsetgoHook() hook {
	return hook{Path: binary, Args: []string{"netsetgo", "-containerInterface", "eth0", "-log", "/var/log/netsetgo.log"}}
}

// bundle is a container of a runtime, runc or crun.
type bundle struct {
	runtime string
	host    *testnet.Host
	path    string
}

// newHostOf is a host on which a runtime can run.
func newHostOf(runtime string) *testnet.Host {
	GinkgoHelper()
	host := testnet.NewHost()
	host.Must("mount", "-t", "tmpfs", "tmpfs", "/var/log")
	if runtime != "runc" {
		// crun, and podman by it, wants to see cgroups of version 2 alone, and is
		// content with none of their controllers.
		if !hasCgroups() {
			host.Must("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
		}
	}
	return host
}

// hasCgroups says whether the machine has cgroups of version 2 alone, as crun and podman want
// them. Elsewhere they do without resources; a guest of ci/vm has them.
func hasCgroups() bool {
	GinkgoHelper()
	var system unix.Statfs_t
	Expect(unix.Statfs("/sys/fs/cgroup", &system)).To(Succeed())
	return system.Type == unix.CGROUP2_SUPER_MAGIC
}

func newBundle(runtime string, host *testnet.Host) bundle {
	GinkgoHelper()
	path := GinkgoT().TempDir()
	newRoot(filepath.Join(path, "rootfs"))
	host.Must("runc", "spec", "--bundle", path)
	return bundle{runtime, host, path}
}

// newRoot makes the root of a container's files, of busybox.
func newRoot(path string) {
	GinkgoHelper()
	bin := filepath.Join(path, "bin")
	Expect(os.MkdirAll(bin, 0o755)).To(Succeed())
	busybox, err := os.ReadFile("/bin/busybox")
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(filepath.Join(bin, "busybox"), busybox, 0o755)).To(Succeed())
	for _, name := range []string{"sh", "ip", "ping", "cat"} {
		Expect(os.Symlink("busybox", filepath.Join(bin, name))).To(Succeed())
	}
}

// configure writes the bundle's configuration: runc's own, without a terminal, with
// leave to ping, hooks, and a script for its first process.
func (b bundle) configure(script string, hooks any) {
	GinkgoHelper()
	path := filepath.Join(b.path, "config.json")
	text, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	var config map[string]any
	Expect(json.Unmarshal(text, &config)).To(Succeed())
	process := config["process"].(map[string]any)
	process["terminal"] = false
	process["args"] = []string{"sh", "-ec", script}
	for _, set := range []string{"bounding", "effective", "permitted"} {
		process["capabilities"].(map[string]any)[set] = []string{"CAP_NET_RAW"}
	}
	config["hooks"] = hooks
	// All specs share the machine's cgroups, and the containers' ids may be the same.
	linux := config["linux"].(map[string]any)
	linux["cgroupsPath"] = fmt.Sprintf("/netsetgo-%d", os.Getpid())
	if b.runtime == "crun" && !hasCgroups() {
		delete(linux, "resources")
	}
	text, err = json.Marshal(config)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(path, text, 0o600)).To(Succeed())
}

func (b bundle) arguments(id string) []string {
	return []string{b.runtime, "--root", "/run/" + b.runtime, "run", "--bundle", b.path, id}
}

// run runs the container to its end.
func (b bundle) run(id string) testnet.Result {
	GinkgoHelper()
	return b.host.Run(b.arguments(id)...)
}

// seen is what the container's own first process sees, and it ends well only where
// the network is ready.
const seen = "ip -o -4 address show dev eth0; ip route; ping -c1 -W1 10.10.10.1"

func sees(result testnet.Result) {
	GinkgoHelper()
	Expect(result.Code).To(Equal(0), result.Stderr)
	Expect(result.Stdout).To(And(
		ContainSubstring("inet 10.10.10.2/24 brd 10.10.10.255 scope global eth0"),
		ContainSubstring("default via 10.10.10.1 dev eth0"),
		ContainSubstring("1 packets received"),
	))
}

var _ = DescribeTableSubtree("as a hook of", Label("root", "runtimes"), func(runtime string) {
	var host *testnet.Host
	var container bundle
	var before string
	BeforeEach(func() {
		host = newHostOf(runtime)
		container = newBundle(runtime, host)
		before = host.State()
	})

	It("is what the README says", func() {
		recipe := strings.ReplaceAll(block("json", "hooks"), "/usr/local/bin/netsetgo", binary)
		var config struct{ Hooks hooks }
		Expect(json.Unmarshal([]byte(recipe), &config)).To(Succeed())
		Expect(config.Hooks).To(Equal(hooks{"createRuntime": {netsetgoHook()}, "poststop": {netsetgoHook()}}))
		container.configure(seen, config.Hooks)
		sees(container.run("web"))
		Expect(host.State()).To(Equal(before))
		ends := host.Must("grep", `"msg":"end"`, "/var/log/netsetgo.log")
		Expect(strings.Split(strings.TrimSpace(ends), "\n")).To(HaveExactElements(
			And(ContainSubstring(`"verb":"up","container":"web"`), ContainSubstring(`"outcome":"done"`)),
			And(ContainSubstring(`"verb":"down","container":"web"`), ContainSubstring(`"outcome":"done"`)),
		))
	})

	DescribeTable("connects before the container's own process, and leaves nothing", func(points ...string) {
		all := hooks{"poststop": {netsetgoHook()}}
		for _, point := range points {
			all[point] = []hook{netsetgoHook()}
		}
		container.configure(seen+"; echo ready; cat", all)
		cmd := host.Command(container.arguments("web")...)
		stdin, err := cmd.StdinPipe()
		Expect(err).NotTo(HaveOccurred())
		stdout, err := cmd.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		cmd.Stderr = GinkgoWriter
		Expect(cmd.Start()).To(Succeed())
		DeferCleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
		said := ""
		lines := bufio.NewScanner(stdout)
		for lines.Scan() && lines.Text() != "ready" {
			said += lines.Text() + "\n"
		}
		sees(testnet.Result{Stdout: said})

		By("looking at the host while it runs: one bridge, one host link, one lease")
		there := links(&host.Process)
		Expect(there).To(HaveLen(3))
		Expect(there["veth0"].Bridge).To(Equal("brg0"))
		Expect(there["veth0"].Altnames).To(ConsistOf(
			"netsetgo:a:9a37:brg0:10.10.10.2", "netsetgo:c:cd1a:eth0:web", MatchRegexp(`^netsetgo:n:[0-9a-f]{4}:eth0:[0-9]+$`)))

		Expect(stdin.Close()).To(Succeed())
		Expect(cmd.Wait()).To(Succeed())
		Expect(host.State()).To(Equal(before))
	},
		Entry("at prestart", "prestart"),
		Entry("at createRuntime", "createRuntime"),
		Entry("at both, which make one attachment", "prestart", "createRuntime"),
	)

	DescribeTable("leaves nothing when the container can't start", func(create hooks, texts map[string]string) {
		create["poststop"] = []hook{netsetgoHook()}
		for point, list := range create {
			for i := range list {
				if list[i].Path == "" {
					create[point][i] = netsetgoHook()
				}
			}
		}
		container.configure(seen, create)
		result := container.run("web")
		Expect(result.Code).NotTo(Equal(0))
		Expect(result.Stderr).To(ContainSubstring(texts[runtime]))
		vanishes(host)
		succeeds(execute(host, "down", "-id", "web", "-containerInterface", "eth0"))
		Expect(host.State()).To(Equal(before))

		By("starting it again under the same id, without what failed")
		container.configure(seen, hooks{"createRuntime": {netsetgoHook()}, "poststop": {netsetgoHook()}})
		sees(container.run("web"))
		Expect(host.State()).To(Equal(before))
	},
		Entry("because a later hook fails", hooks{"prestart": {{}, {Path: "/bin/false"}}}, hookFailed),
		Entry("because a later hook at another point fails", hooks{"prestart": {{}}, "createRuntime": {{}, {Path: "/bin/false"}}}, hookFailed),
		Entry("because a later hook takes too long",
			hooks{"createRuntime": {{}, {Path: "/bin/sleep", Args: []string{"sleep", "60"}, Timeout: 1}}}, hookLate),
		Entry("because netsetgo is called at createContainer", hooks{"createContainer": {{}}},
			map[string]string{"runc": `netsetgo: reading the container's state: container \"web\" has pid 1, as that of a createContainer hook, ` +
				`which runs inside the container; call netsetgo at prestart or createRuntime`}),
	)

	It("leaves nothing when it is killed while it waits", func() {
		holdLock(host)
		hooked := netsetgoHook()
		hooked.Timeout = 1
		container.configure(seen, hooks{"createRuntime": {hooked}, "poststop": {netsetgoHook()}})
		result := container.run("web")
		Expect(result.Code).NotTo(Equal(0))
		Expect(result.Stderr).To(ContainSubstring(hookLate[runtime]))
		Expect(host.State()).To(Equal(before))
	})

	It("starts a container again and again under one id, with or without a poststop", func() {
		const script = "ip route; ping -c1 -W1 10.10.10.1"
		container.configure(script, hooks{"createRuntime": {netsetgoHook()}, "poststop": {netsetgoHook()}})
		without := newBundle(runtime, host)
		without.configure(script, hooks{"createRuntime": {netsetgoHook()}})
		for i := range 6 { // nothing is between the end of one and the start of the next
			result := []bundle{without, container}[i%2].run("web")
			Expect(result.Code).To(Equal(0), result.Stderr)
		}
		succeeds(execute(host, "down", "-id", "any"))
		Expect(host.State()).To(Equal(before))
	})
},
	Entry("runc", "runc"),
	Entry("crun", "crun"),
)

// What runtimes say.
var (
	hookFailed = map[string]string{"runc": "error running hook #1", "crun": "error executing hook `/bin/false` (exit code: 1)"}
	hookLate   = map[string]string{"runc": "hook ran past specified timeout", "crun": "timeout expired for"}
)

var _ = Describe("with states as crun writes them", Label("root"), func() {
	// crun says "created" and ociVersion "1.0" at every hook of the creation, and pid 0
	// at poststop, which it doesn't run after a hook that failed.
	state := func(status string, pid int) string {
		return fmt.Sprintf(`{"ociVersion":"1.0","id":"web","pid":%d,"root":"/b/rootfs","bundle":"/b","status":%q}`, pid, status)
	}
	var host *testnet.Host
	var before string
	BeforeEach(func() {
		host = testnet.NewHost()
		before = host.State()
	})
	call := func(text string) testnet.Result {
		GinkgoHelper()
		return host.RunWith(text, binary, "-containerInterface", "eth0")
	}

	It("connects at created, and disconnects at stopped with pid 0", func() {
		container := host.NewContainer()
		succeeds(call(state("created", container.Pid)))
		Expect(container.Pings("10.10.10.1")).To(BeTrue())
		container.Kill()
		succeeds(call(state("stopped", 0)))
		succeeds(call(state("stopped", 0)))
		Expect(host.State()).To(Equal(before))
	})

	It("lets the attachment go with a container that has no poststop", func() {
		container := host.NewContainer()
		succeeds(call(state("created", container.Pid)))
		container.Kill()
		vanishes(host)
		Expect(host.Must("ip", "link", "show", "brg0")).NotTo(BeEmpty())

		container = host.NewContainer()
		succeeds(call(state("created", container.Pid)))
		Expect(container.Pings("10.10.10.1")).To(BeTrue())
		container.Kill()
		vanishes(host)
		succeeds(execute(host, "down", "-id", "another"))
		Expect(host.State()).To(Equal(before))
	})

	// Also the restart at once: the namespace of the first container is held for a
	// moment longer than its processes live.
	DescribeTable("connects a container that is started again at once", func(flags ...string) {
		for i := range 20 {
			By("start " + strconv.Itoa(i))
			container := host.NewContainer()
			began := time.Now()
			up(host, container, flags...)
			Expect(time.Since(began)).To(BeNumerically("<", 2*time.Second*testnet.Slow))
			container.Kill()
		}
		vanishes(host)
		succeeds(execute(host, "down", "-id", "any"))
		Expect(host.State()).To(Equal(before))
	},
		Entry("by its id", "-id", "web"),
		Entry("by its address", "-containerAddress", "10.10.10.7"),
		Entry("in a subnet for one", "-bridgeAddress", "10.10.10.1/30"),
	)
})
