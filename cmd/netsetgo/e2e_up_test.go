package main_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// connected is what `ip` is to say of a container and its host.
type connected struct {
	bridge, gateway string
	hostLink, name  string
	address, mac    string
	mtu             int
	id              string
	routes          []string // `ip route` in the container, beside that of the subnet
}

// byDefault is what a run for the first container makes, as far as no flag says otherwise.
func byDefault(change func(*connected)) connected {
	want := connected{
		bridge: "brg0", gateway: "10.10.10.1/24", hostLink: "veth0", name: "veth1",
		address: "10.10.10.2/24", mac: "6e:73:0a:0a:0a:02", mtu: 1500,
		routes: []string{"default via 10.10.10.1 dev veth1"},
	}
	if change != nil {
		change(&want)
	}
	return want
}

func (want connected) check(host *testnet.Host, container *testnet.Container) {
	GinkgoHelper()
	onHost, inside := links(&host.Process), links(&container.Process)

	bridge := onHost[want.bridge]
	Expect(bridge.Details.Kind).To(Equal("bridge"))
	Expect(bridge.Flags).To(ContainElements("UP", "LOWER_UP"))
	Expect(bridge.Group).To(Equal("7238503"))
	Expect(bridge.prefixes()).To(ConsistOf(want.gateway), "no automatic IPv6 address either")
	Expect(bridge.MTU).To(Equal(want.mtu))
	var a, b, c, d byte
	_, err := fmt.Sscanf(want.gateway, "%d.%d.%d.%d/", &a, &b, &c, &d)
	Expect(err).NotTo(HaveOccurred())
	Expect(bridge.MAC).To(Equal(fmt.Sprintf("6e:73:%02x:%02x:%02x:%02x", a, b, c, d)))

	ip, _, _ := strings.Cut(want.address, "/")
	names := []string{
		lease.AddressName(want.bridge, netip.MustParseAddr(ip)),
		lease.NamespaceName(want.name, inodeOf(container)),
	}
	if want.id != "" {
		names = append(names, lease.IDName(want.name, want.id))
	}
	hostLink := onHost[want.hostLink]
	Expect(hostLink.Details.Kind).To(Equal("veth"))
	Expect(hostLink.Bridge).To(Equal(want.bridge))
	Expect(hostLink.Flags).To(ContainElements("UP", "LOWER_UP"))
	Expect(hostLink.Group).To(Equal("7238503"))
	Expect(hostLink.Altnames).To(ConsistOf(names))
	Expect(hostLink.prefixes()).To(BeEmpty())
	Expect(hostLink.MTU).To(Equal(want.mtu))

	Expect(inside["lo"].Flags).To(ContainElements("UP", "LOWER_UP"))
	peer := inside[want.name]
	Expect(peer.PeerIndex).To(Equal(hostLink.Index))
	Expect(peer.Flags).To(ContainElements("UP", "LOWER_UP"))
	Expect(peer.prefixes()).To(ConsistOf(want.address), "no automatic IPv6 address either")
	Expect(peer.MAC).To(Equal(want.mac))
	Expect(peer.MTU).To(Equal(want.mtu))
	Expect(routes(container)).To(ConsistOf(want.routes))
}

// routes are those of `ip route`, without that of the subnet, which the kernel makes.
func routes(container *testnet.Container) []string {
	GinkgoHelper()
	found := []string{}
	for line := range strings.Lines(container.Must("ip", "-4", "route")) {
		if !strings.Contains(line, "proto kernel") {
			found = append(found, strings.TrimSpace(strings.Replace(line, " proto static", "", 1)))
		}
	}
	return found
}

var _ = Describe("up, with the kernel", Label("root", "packets"), func() {
	var (
		host            *testnet.Host
		container, next *testnet.Container
	)

	BeforeEach(func() {
		host = testnet.NewHost()
		container, next = host.NewContainer(), host.NewContainer()
		host.Must("ip", "netns", "attach", "blue", strconv.Itoa(container.Pid))
	})

	// pings goes both ways between the container and its bridge, and the next container.
	pings := func(want connected) {
		GinkgoHelper()
		gateway, _, _ := strings.Cut(want.gateway, "/")
		ip, _, _ := strings.Cut(want.address, "/")
		Expect(container.Pings(gateway)).To(BeTrue(), "container to bridge")
		Expect(host.Pings(ip)).To(BeTrue(), "bridge to container")
		up(host, next, "-bridgeName", want.bridge, "-bridgeAddress", want.gateway)
		Expect(container.Pings(address(next, "veth1"))).To(BeTrue(), "container to the next one")
		Expect(next.Pings(ip)).To(BeTrue(), "the next container back")
	}

	DescribeTable("connects a container", func(flags string, want connected) {
		flags = strings.ReplaceAll(flags, "PID", strconv.Itoa(container.Pid))
		succeeds(execute(host, strings.Fields(flags)...))
		want.check(host, container)
		Expect(container.Pings("127.0.0.1")).To(BeTrue())
		pings(want)
	},
		Entry("with every flag at its default", Label("kernels"), "-pid PID", byDefault(nil)),
		Entry("by its verb", "up -pid PID", byDefault(nil)),
		Entry("by -netns and a name", "-netns blue", byDefault(nil)),
		Entry("by -netns and the path of a mount", "-netns /run/netns/blue", byDefault(nil)),
		Entry("by -netns and the path of a process", "-netns /proc/PID/ns/net", byDefault(nil)),
		Entry("by -bridgeName", "-pid PID -bridgeName tower.7", byDefault(func(c *connected) { c.bridge = "tower.7" })),
		Entry("by -bridgeAddress", "-pid PID -bridgeAddress 192.168.7.6/29", byDefault(func(c *connected) {
			c.gateway, c.address, c.mac = "192.168.7.6/29", "192.168.7.1/29", "6e:73:c0:a8:07:01"
			c.routes = []string{"default via 192.168.7.6 dev veth1"}
		})),
		Entry("by -containerAddress with its prefix", "-pid PID -containerAddress 10.10.10.77/24", byDefault(func(c *connected) {
			c.address, c.mac = "10.10.10.77/24", "6e:73:0a:0a:0a:4d"
		})),
		Entry("by -containerAddress without a prefix", "-pid PID -containerAddress 10.10.10.254", byDefault(func(c *connected) {
			c.address, c.mac = "10.10.10.254/24", "6e:73:0a:0a:0a:fe"
		})),
		Entry("by -vethNamePrefix", "-pid PID -vethNamePrefix eleven.byte", byDefault(func(c *connected) {
			c.hostLink, c.name = "eleven.byte0", "eleven.byte1"
			c.routes = []string{"default via 10.10.10.1 dev eleven.byte1"}
		})),
		Entry("by -containerInterface", "-pid PID -containerInterface eth0", byDefault(func(c *connected) {
			c.name, c.routes = "eth0", []string{"default via 10.10.10.1 dev eth0"}
		})),
		Entry("by -mtu", "-pid PID -mtu 1280", byDefault(func(c *connected) { c.mtu = 1280 })),
		Entry("by the least -mtu", "-pid PID -mtu 68", byDefault(func(c *connected) { c.mtu = 68 })),
		Entry("by the greatest -mtu", "-pid PID -mtu 65535", byDefault(func(c *connected) { c.mtu = 65535 })),
		Entry("by -mtu 0, the default", "-pid PID -mtu 0", byDefault(nil)),
		Entry("by -mac", "-pid PID -mac 02:00:00:00:00:2A", byDefault(func(c *connected) { c.mac = "02:00:00:00:00:2a" })),
		Entry("by -route, repeated",
			"-pid PID -route 192.168.0.0/16 -route 172.16.0.0/12,via=10.10.10.9 -route 10.20.0.0/16,metric=50 -route 10.20.0.0/16,via=10.10.10.9,metric=4294967295",
			byDefault(func(c *connected) {
				c.routes = append(c.routes, "192.168.0.0/16 via 10.10.10.1 dev veth1", "172.16.0.0/12 via 10.10.10.9 dev veth1",
					"10.20.0.0/16 via 10.10.10.1 dev veth1 metric 50", "10.20.0.0/16 via 10.10.10.9 dev veth1 metric 4294967295")
			})),
		Entry("by -defaultRoute=false", "-pid PID -defaultRoute=false", byDefault(func(c *connected) { c.routes = nil })),
		Entry("by -defaultRoute", "-pid PID -defaultRoute", byDefault(nil)),
		Entry("by -id", "-pid PID -id web:8080", byDefault(func(c *connected) { c.id = "web:8080" })),
		Entry("by -output text", "-pid PID -output text", byDefault(nil)),
		Entry("by -timeout", "-pid PID -timeout 9s", byDefault(nil)),
		Entry("by the line of the original",
			"--bridgeName=tower --bridgeAddress=10.10.10.1/24 --vethNamePrefix=veth --containerAddress=10.10.10.2/24 --pid=PID",
			byDefault(func(c *connected) { c.bridge = "tower" })),
	)

	DescribeTable("connects the container of an OCI state", func(status string) {
		succeeds(host.RunWith(ociState("web", status, container.Pid), binary))
		byDefault(func(c *connected) { c.id = "web" }).check(host, container)
	},
		Entry("that is being created", "creating"),
		Entry("that is created", "created"),
		Entry("that runs", "running"),
	)

	It("takes -id before that of the OCI state", func() {
		succeeds(host.RunWith(ociState("web", "created", container.Pid), binary, "-id", "mine"))
		byDefault(func(c *connected) { c.id = "mine" }).check(host, container)
	})

	It("prints what ip prints, with -output json", Label("kernels"), func() {
		arguments := []string{"-pid", strconv.Itoa(container.Pid), "-route", "192.168.0.0/16,metric=7", "-mtu", "1400", "-output", "json"}
		first := execute(host, arguments...)
		Expect(first.Stderr).To(BeEmpty())
		Expect(first.Code).To(Equal(0))
		var got map[string]any
		Expect(json.Unmarshal([]byte(first.Stdout), &got)).To(Succeed())

		peer := links(&container.Process)["veth1"]
		hostLink := links(&host.Process)["veth0"]
		Expect(got).To(HaveKeyWithValue("cniVersion", "1.1.0"))
		Expect(got).To(HaveKeyWithValue("interfaces", []any{
			map[string]any{"name": hostLink.Bridge, "mac": "6e:73:0a:0a:0a:01", "mtu": float64(1400)},
			map[string]any{"name": hostLink.Name, "mac": hostLink.MAC, "mtu": float64(1400)},
			map[string]any{
				"name": peer.Name, "mac": peer.MAC, "mtu": float64(peer.MTU),
				"sandbox": fmt.Sprintf("/proc/%d/ns/net", container.Pid),
			},
		}))
		Expect(got).To(HaveKeyWithValue("ips", []any{map[string]any{
			"address": peer.prefixes()[0], "gateway": "10.10.10.1", "interface": float64(2),
		}}))
		Expect(got).To(HaveKeyWithValue("routes", ConsistOf(
			map[string]any{"dst": "0.0.0.0/0", "gw": "10.10.10.1"},
			map[string]any{"dst": "192.168.0.0/16", "gw": "10.10.10.1", "priority": float64(7)},
		)))
		Expect(execute(host, arguments...)).To(Equal(first), "a second run says the same")
	})

	It("gives up after -timeout, and leaves nothing", func() {
		before, inside := host.State(), container.State()
		other := host.Command("flock", "--no-fork", "/run/netsetgo.lock", "sh", "-c", "echo locked; exec sleep 60")
		out, err := other.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(other.Start()).To(Succeed())
		DeferCleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
		_, err = out.Read(make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())

		begin := time.Now()
		message := fails(execute(host, "-pid", strconv.Itoa(container.Pid), "-timeout", "200ms"), 1)
		Expect(time.Since(begin)).To(And(BeNumerically(">", 200*time.Millisecond), BeNumerically("<", 5*time.Second*testnet.Slow)))
		Expect(message).To(ContainSubstring("-timeout is over"))
		stays(&host.Process, before)
		stays(&container.Process, inside)
	})

	It("makes the second host link with another number", func() {
		up(host, container)
		up(host, next)
		Expect(links(&host.Process)).To(And(HaveLen(4), HaveKey("veth0"), HaveKey("veth1")))
		Expect(links(&next.Process)).To(HaveKey("veth1"))
		Expect(address(next, "veth1")).To(Equal("10.10.10.3"))
	})
})
