package kernel_test

import (
	"fmt"
	"net/netip"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func routeBy(link int, destination, gateway string, metric int) configurer.Route {
	return configurer.Route{Link: link, Route: netsetgo.Route{
		Destination: prefix(destination), Gateway: netip.MustParseAddr(gateway), Metric: metric,
	}}
}

var _ = Describe("changes", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("make a bridge, down, with its MAC and mark, and say its index", func() {
		conn := connect(nil)
		change := configurer.AddBridge{Name: "b", MAC: mac("6e:73:0a:00:00:01"), Group: 7238503, Index: new(int)}
		do(conn, change)
		Expect(link(conn, "b")).To(And(
			HaveField("Index", *change.Index), HaveField("Kind", "bridge"), HaveField("Up", false),
			HaveField("MAC", change.MAC), HaveField("Group", uint32(7238503)),
		))
		By("keeping its MAC when a port comes")
		sh("ip link add p address 00:00:00:00:00:05 type veth peer name q; ip link set p master b")
		Expect(link(conn, "b").MAC).To(Equal(change.MAC))
	})

	It("make a pair in place: one end on the bridge, the other in the container, both down", Label("kernels"), func() {
		container := newNamespace()
		conn, inside := connect(nil), connect(container)
		bridge := addBridge(conn, "b")
		host, peer := addPair(conn, bridge, "host", container, "eth0")
		Expect(link(conn, "host")).To(And(
			HaveField("Index", host), HaveField("Kind", "veth"), HaveField("Up", false), HaveField("Master", bridge),
			HaveField("MTU", 1400), HaveField("Group", uint32(7)), HaveField("MAC", mac("02:00:00:00:00:02")),
		))
		Expect(link(inside, "eth0")).To(And(
			HaveField("Index", peer), HaveField("Kind", "veth"), HaveField("Up", false), HaveField("Master", 0),
			HaveField("MTU", 1400), HaveField("Group", uint32(0)), HaveField("MAC", mac("02:00:00:00:00:03")),
		))
		Expect(sh("ip -details link show host")).To(ContainSubstring("numtxqueues 1 numrxqueues 1"))
		Expect(in(container, "ip -details link show eth0")).To(ContainSubstring("numtxqueues 1 numrxqueues 1"))
	})

	It("delete a link, and its peer with it", func() {
		container := newNamespace()
		conn, inside := connect(nil), connect(container)
		host, _ := addPair(conn, addBridge(conn, "b"), "host", container, "eth0")
		do(conn, configurer.DeleteLink{Link: host})
		Expect(second(conn.Link(configurer.Which{Index: host}))).To(MatchErrorStrictly(configurer.ErrNotFound))
		Expect(second(inside.Link(configurer.Which{Name: "eth0"}))).To(MatchErrorStrictly(configurer.ErrNotFound))
	})

	It("set flags, MTU, MAC, alias and names of a link, and nothing else of it", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		want := link(conn, "b")
		check := func(change configurer.Change) {
			GinkgoHelper()
			do(conn, change)
			Expect(link(conn, "b")).To(Equal(want), "%T", change)
		}
		want.Up = true
		check(configurer.SetUp{Link: bridge, Up: true})
		want.MTU = 1280
		check(configurer.SetMTU{Link: bridge, MTU: 1280})
		want.MAC = mac("02:00:00:00:00:0a")
		check(configurer.SetMAC{Link: bridge, MAC: want.MAC})
		want.Alias = "netsetgo next=10.0.0.2 number=1"
		check(configurer.SetAlias{Link: bridge, Alias: want.Alias})
		want.Alias = ""
		check(configurer.SetAlias{Link: bridge, Alias: ""})
		want.Altnames = []string{"netsetgo:c:e1df:eth0:an id: with colons"}
		check(configurer.AddAltname{Link: bridge, Name: want.Altnames[0]})
		want.Altnames = append(want.Altnames, "netsetgo:n:a69a:eth0:4026531840")
		check(configurer.AddAltname{Link: bridge, Name: want.Altnames[1]})
		want.Up = false
		check(configurer.SetUp{Link: bridge, Up: false})
	})

	It("keep a link from giving itself IPv6 addresses", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		sh("ip link add p type veth peer name q; ip link set q up; ip link set p master b")
		do(conn, configurer.SilenceIPv6{Link: bridge})
		Expect(sh("ip -details link show b")).To(ContainSubstring("addrgenmode none"))
		do(conn, configurer.SetUp{Link: bridge, Up: true})
		Expect(sh("ip -6 address show dev b")).To(BeEmpty())
		By("succeeding where the link has no IPv6 at all")
		do(conn, configurer.SetMTU{Link: bridge, MTU: 1000}, configurer.SilenceIPv6{Link: bridge})
	})

	It("add and delete addresses, with their broadcast address and scope", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		do(conn, configurer.AddAddress{Link: bridge, Address: prefix("10.1.2.3/20")}, configurer.AddAddress{Link: 1, Address: prefix("127.0.0.1/8")})
		Expect(sh("ip -4 -o address show dev b")).To(ContainSubstring("inet 10.1.2.3/20 brd 10.1.15.255 scope global b"))
		Expect(sh("ip -4 -o address show dev lo")).To(ContainSubstring("scope host lo"))
		Expect(conn.Addresses(bridge)).To(Equal([]netip.Prefix{prefix("10.1.2.3/20")}))
		do(conn, configurer.DeleteAddress{Link: bridge, Address: prefix("10.1.2.3/20")}, configurer.DeleteAddress{Link: 1, Address: prefix("127.0.0.1/8")})
		Expect(conn.Addresses(bridge)).To(BeEmpty())
		Expect(conn.Addresses(1)).To(BeEmpty())
	})

	It("add and delete routes", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		do(conn, configurer.SetUp{Link: bridge, Up: true}, configurer.AddAddress{Link: bridge, Address: prefix("10.0.0.1/24")})
		before, err := conn.Routes()
		Expect(err).NotTo(HaveOccurred())
		routes := []configurer.Route{
			routeBy(bridge, "0.0.0.0/0", "10.0.0.2", 0),
			routeBy(bridge, "192.168.0.0/16", "10.0.0.3", 0),
			routeBy(bridge, "192.168.0.0/16", "10.0.0.4", 4294967295),
		}
		for _, route := range routes {
			do(conn, configurer.AddRoute{Route: route})
		}
		Expect(conn.Routes()).To(ConsistOf(append(routes, before...)))
		Expect(sh("ip route")).To(And(
			ContainSubstring("default via 10.0.0.2 dev b proto static"),
			ContainSubstring("192.168.0.0/16 via 10.0.0.4 dev b proto static metric 4294967295"),
		))
		for _, route := range routes {
			do(conn, configurer.DeleteRoute{Route: route})
		}
		Expect(conn.Routes()).To(ConsistOf(before))
	})

	It("are made each by itself: one that fails has an error, the others are made", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		errs := try(conn,
			configurer.SetUp{Link: bridge, Up: true},
			configurer.AddAddress{Link: bridge, Address: prefix("10.0.0.1/24")},
			configurer.AddRoute{Route: routeBy(bridge, "0.0.0.0/0", "10.9.9.9", 0)}, // not to be reached
			configurer.AddAddress{Link: bridge, Address: prefix("10.0.0.1/24")},     // there already
			configurer.AddRoute{Route: routeBy(bridge, "192.168.0.0/16", "10.0.0.2", 0)},
		)
		Expect(errs).To(HaveExactElements(
			Succeed(), Succeed(), MatchError(ContainSubstring("network is unreachable (Nexthop has invalid gateway)")),
			MatchErrorStrictly(configurer.ErrExists), Succeed(),
		))
		Expect(conn.Addresses(bridge)).To(HaveLen(1))
		Expect(sh("ip route show 192.168.0.0/16")).NotTo(BeEmpty())
	})

	It("may be more than go into one message, and keep their order", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		do(conn, configurer.SetUp{Link: bridge, Up: true})
		var changes []configurer.Change
		for i := range 300 {
			changes = append(changes, configurer.AddAddress{Link: bridge, Address: prefix(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256))})
		}
		changes[150] = configurer.AddAddress{Link: 999, Address: prefix("10.0.0.1/24")}
		errs := try(conn, changes...)
		Expect(errs).To(HaveLen(300))
		for i, err := range errs {
			if i == 150 {
				Expect(err).To(MatchErrorStrictly(configurer.ErrNotFound))
				continue
			}
			Expect(err).NotTo(HaveOccurred(), "%d", i)
		}
		Expect(conn.Addresses(bridge)).To(HaveLen(299))
		Expect(conn.Do()).To(BeEmpty())
	})

	It("tell that the connection is closed, and that nothing was done", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		other := connect(nil)
		Expect(conn.Close()).To(Succeed())
		errs := try(conn, configurer.DeleteLink{Link: bridge}, configurer.SetUp{Link: bridge, Up: true})
		for _, err := range errs {
			Expect(err).To(MatchError(ContainSubstring("sending to the kernel")))
			Expect(err).NotTo(MatchErrorStrictly(configurer.ErrUnknown))
		}
		Expect(link(other, "b").Up).To(BeFalse())
		Expect(conn.Close()).To(MatchError(ContainSubstring("closing a netlink socket")))
	})
})
