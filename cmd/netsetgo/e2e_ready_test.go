package main_test

import (
	"debug/elf"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("what up makes, with the kernel", Label("root"), func() {
	var host *testnet.Host

	BeforeEach(func() { host = testnet.NewHost() })

	// The ping follows in the same shell: no time for anything to settle by itself.
	DescribeTable("carries the first packet at once", func(flags func(i int) (bridge, gateway string)) {
		for i := range 20 {
			container := host.NewContainer()
			bridge, gateway := flags(i)
			host.Sh(fmt.Sprintf("%s -pid %d -bridgeName %s -bridgeAddress %s/24; exec nsenter --target %[2]d --net ping -c1 -W1 %[4]s",
				binary, container.Pid, bridge, gateway))
		}
	},
		Entry("on a bridge that is there", func(int) (string, string) { return "brg0", "10.10.10.1" }),
		Entry("on a new bridge", func(i int) (string, string) { return fmt.Sprintf("b%d", i), fmt.Sprintf("10.10.%d.1", i) }),
	)

	It("carries the first packet from the host at once", func() {
		for i := range 20 {
			container := host.NewContainer()
			host.Sh(fmt.Sprintf("%s -pid %d; exec ping -c1 -W1 10.10.10.%d", binary, container.Pid, i+2))
		}
	})

	It("is known to a neighbour who remembers the address of another container", func() {
		old, neighbour := host.NewContainer(), host.NewContainer()
		up(host, old)
		up(host, neighbour)
		ip := address(old, "veth1")
		Expect(neighbour.Pings(ip)).To(BeTrue())
		remembered := neighbour.Must("ip", "neigh", "show", ip)
		Expect(remembered).To(ContainSubstring(links(&old.Process)["veth1"].MAC))
		down(host, old)

		container := host.NewContainer()
		up(host, container, "-containerAddress", ip)
		Expect(neighbour.Must("ip", "neigh", "show", ip)).To(ContainSubstring("lladdr"), "it remembers still")
		Expect(neighbour.Pings(ip)).To(BeTrue())
	})

	It("has no MAC that something like udev would replace", func() {
		containers := []*testnet.Container{host.NewContainer(), host.NewContainer()}
		places := []*testnet.Process{&host.Process, &containers[0].Process, &containers[1].Process}
		for _, where := range places {
			rewriteMACs(where)
		}
		for _, container := range containers {
			up(host, container)
		}
		for _, where := range places {
			rewritten(where) // and so would be what was made before
			for name, link := range links(where) {
				Expect(link.MAC).NotTo(Equal(rewrittenMAC), name)
			}
			// 1 is NET_ADDR_RANDOM, linux/netdevice.h.
			Expect(where.Must("unshare", "--mount", "sh", "-ec", "mount -t sysfs sysfs /sys; grep . /sys/class/net/*/addr_assign_type")).
				NotTo(ContainSubstring(":1\n"))
		}
		Expect(containers[0].Pings("10.10.10.1")).To(BeTrue())
		Expect(containers[1].Pings("10.10.10.2")).To(BeTrue())
	})

	It("takes its MTU from the device of the host's default route", func() {
		container := host.NewContainer()
		host.Sh(`
			ip link add other mtu 1300 type veth peer otherpeer; ip address add 192.0.2.2/24 dev other; ip link set other up
			ip link add uplink mtu 1410 type veth peer uplinkpeer; ip address add 198.51.100.2/24 dev uplink; ip link set uplink up
			ip route add default via 198.51.100.1
		`)
		up(host, container)
		byDefault(func(c *connected) { c.mtu = 1410 }).check(host, container)

		host.Must("ip", "link", "set", "uplink", "mtu", "1420")
		next := host.NewContainer()
		up(host, next)
		Expect(links(&next.Process)["veth1"].MTU).To(Equal(1420))
	})

	It("takes its MTU from the bridge where there is no default route", func() {
		container := host.NewContainer()
		host.Sh("ip link add brg0 mtu 1300 type bridge; ip address add 10.10.10.1/24 dev brg0; ip link set brg0 up")
		up(host, container)
		Expect(links(&container.Process)["veth1"].MTU).To(Equal(1300))
		Expect(links(&host.Process)["veth0"].MTU).To(Equal(1300))
		Expect(links(&host.Process)["brg0"].MTU).To(Equal(1300))
	})
})

const rewrittenMAC = "02:0d:e0:00:00:01"

// rewriteMACs does what udev's MACAddressPolicy=persistent does: a new link with a MAC
// that the kernel drew at random gets another.
func rewriteMACs(where *testnet.Process) {
	GinkgoHelper()
	rewriter := where.Command("unshare", "--mount", "sh", "-c", `
		mount -t sysfs sysfs /sys
		ip monitor link | while read -r event; do
			for file in /sys/class/net/*/addr_assign_type; do
				read -r type <"$file" && [ "$type" = 1 ] || continue
				link=${file%/*}
				ip link set dev "${link##*/}" address `+rewrittenMAC+`
			done
		done`)
	rewriter.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	Expect(rewriter.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = syscall.Kill(-rewriter.Process.Pid, syscall.SIGKILL)
		_ = rewriter.Wait()
	})
	rewritten(where)
}

// rewritten makes links until one is given another MAC.
func rewritten(where *testnet.Process) {
	GinkgoHelper()
	Eventually(func() string {
		where.Sh("ip link delete probe 2>/dev/null || true; ip link add probe type veth peer name probed")
		mac := ""
		for range 10 {
			if mac = links(where)["probe"].MAC; mac == rewrittenMAC {
				break
			}
		}
		return mac
	}, "30s", "5ms").Should(Equal(rewrittenMAC))
	where.Must("ip", "link", "delete", "probe")
}

var _ = Describe("the binary", Label("root"), func() {
	It("is static", func() {
		file, err := elf.Open(binary)
		Expect(err).NotTo(HaveOccurred())
		defer func() { _ = file.Close() }()
		for _, program := range file.Progs {
			Expect(program.Type).NotTo(Or(Equal(elf.PT_INTERP), Equal(elf.PT_DYNAMIC)))
		}
	})

	It("says which version of the repository it is", func() {
		commit, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
		if err != nil {
			Skip("git knows no version in this folder")
		}
		path, err := gexec.BuildWithEnvironment("github.com/netsetgo/netsetgo/cmd/netsetgo", []string{"CGO_ENABLED=0"}, "-buildvcs=true")
		Expect(err).NotTo(HaveOccurred())
		result := testnet.Finish(exec.Command(path, "version"), "")
		Expect(result.Code).To(Equal(0))
		Expect(result.Stdout).To(MatchRegexp(`^netsetgo v\d+\.\d+\.\d+\S* go1\.\d+\S* linux/\w+\n$`))
		if exec.Command("git", "describe", "--exact-match", "--tags").Run() != nil {
			Expect(result.Stdout).To(ContainSubstring(strings.TrimSpace(string(commit))))
		}
	})

	It("explains itself on standard output when asked", func() {
		host := testnet.NewHost()
		result := execute(host, "-h")
		Expect(result.Code).To(Equal(0))
		Expect(result.Stderr).To(BeEmpty())
		for _, flag := range []string{
			"pid", "netns", "bridgeName", "bridgeAddress", "containerAddress", "vethNamePrefix",
			"containerInterface", "id", "mtu", "mac", "route", "defaultRoute", "output", "v", "dryRun", "log", "timeout",
		} {
			Expect(result.Stdout).To(ContainSubstring("\n  -" + flag))
		}
		Expect(execute(host, "up", "-h")).To(Equal(result))
		Expect(execute(host, "-pid", strconv.Itoa(host.Pid), "-help")).To(Equal(result))
	})
})
