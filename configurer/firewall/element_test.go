package firewall_test

import (
	"net"
	"net/netip"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var (
	mac   = net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 2}
	addr4 = netip.MustParseAddr("10.10.10.2")
	addr6 = netip.MustParseAddr("fd10::2")
	both  = []netip.Addr{addr4, addr6}
)

// lines are elements as nft(8) has them: `nft add element FAMILY netsetgo LINE`.
func lines(elements ...firewall.Element) []string {
	texts := []string{}
	for _, element := range elements {
		texts = append(texts, string(element.Set.Family)+" "+element.Set.Name+" { "+element.String()+" }")
	}
	return texts
}

var _ = Describe("elements", Label("unit"), func() {
	DescribeTable("of a bridge follow from its policy", func(policy firewall.Policy, text string, want ...string) {
		Expect(policy.String()).To(Equal(text))
		Expect(firewall.ParsePolicy(text)).To(Equal(policy))
		Expect(lines(policy.Elements("br.0-x")...)).To(HaveExactElements(want))
	},
		Entry("closed", firewall.Policy{}, "closed",
			`inet bridges { "br.0-x" }`, `inet same { "br.0-x" . "br.0-x" }`),
		Entry("masqueraded", firewall.Policy{NAT: true}, "closed,nat",
			`inet bridges { "br.0-x" }`, `inet same { "br.0-x" . "br.0-x" }`, `inet masqueraded { "br.0-x" }`),
		Entry("open", firewall.Policy{Inbound: true}, "open",
			`inet bridges { "br.0-x" }`, `inet same { "br.0-x" . "br.0-x" }`, `inet inbound { "br.0-x" }`),
		Entry("isolated", firewall.Policy{Isolated: true}, "closed,isolated",
			`inet bridges { "br.0-x" }`, `inet same { "br.0-x" . "br.0-x" }`, `inet isolated { "br.0-x" }`),
		Entry("all of it", firewall.Policy{NAT: true, Inbound: true, Isolated: true}, "open,nat,isolated",
			`inet bridges { "br.0-x" }`, `inet same { "br.0-x" . "br.0-x" }`,
			`inet masqueraded { "br.0-x" }`, `inet inbound { "br.0-x" }`, `inet isolated { "br.0-x" }`),
	)

	It("of an unknown policy are those of a closed bridge", func() {
		for _, text := range []string{"", "opened", "nat2", "closed,isolate", "OPEN"} {
			Expect(firewall.ParsePolicy(text)).To(Equal(firewall.Policy{}), text)
		}
	})

	It("of an uplink are of one family", func() {
		Expect(lines(firewall.Uplink(2, false), firewall.Uplink(2, true), firewall.Router6(), firewall.Carrier(2))).To(HaveExactElements(
			`inet uplinks { ipv4 . 2 }`, `inet uplinks { ipv6 . 2 }`, `inet routers { ipv6 }`, `inet carriers { 2 . 2 }`))
	})

	It("of a container name its MAC beside each of its addresses", func() {
		Expect(lines(firewall.Sender(mac, both)...)).To(HaveExactElements(
			"bridge senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }",
			"bridge senders6 { 6e:73:0a:0a:0a:02 . fd10::2 }",
			"bridge targets6 { 6e:73:0a:0a:0a:02 . 0xfd100000000000000000000000000002 }",
		))
		Expect(firewall.Sender(mac, nil)).To(BeEmpty())
		Expect(lines(firewall.Unchecked(7))).To(HaveExactElements("bridge unchecked { 7 }"))
		Expect(lines(firewall.Locked(7, mac)...)).To(HaveExactElements("bridge locked { 7 }", "bridge macs { 7 . 6e:73:0a:0a:0a:02 }"))
	})

	DescribeTable("of a published port", func(port netsetgo.Publish, addrs []netip.Addr, want ...string) {
		Expect(lines(firewall.Ports(port, addrs)...)).To(HaveExactElements(want))
	},
		Entry("are in both families", netsetgo.Publish{HostPort: 8080, ContainerPort: 80}, both,
			"inet ports4 { tcp . 8080 : 10.10.10.2 . 80 }", "inet published4 { 10.10.10.2 }",
			"inet ports6 { tcp . 8080 : fd10::2 . 80 }", "inet published6 { fd10::2 }"),
		Entry("are in the families that the container has", netsetgo.Publish{HostPort: 53, ContainerPort: 53, Protocol: "udp"}, []netip.Addr{addr6},
			"inet ports6 { udp . 53 : fd10::2 . 53 }", "inet published6 { fd10::2 }"),
		Entry("are one for each of a range", netsetgo.Publish{HostPort: 65534, ContainerPort: 1, Count: 2, Protocol: "sctp"}, []netip.Addr{addr4},
			"inet ports4 { sctp . 65534 : 10.10.10.2 . 1 }", "inet ports4 { sctp . 65535 : 10.10.10.2 . 2 }", "inet published4 { 10.10.10.2 }"),
		Entry("of one address of the host", netsetgo.Publish{HostIP: netip.MustParseAddr("192.0.2.1"), HostPort: 8080, ContainerPort: 80}, both,
			"inet addressports4 { 192.0.2.1 . tcp . 8080 : 10.10.10.2 . 80 }", "inet published4 { 10.10.10.2 }"),
		Entry("of one address of the host's, of IPv6", netsetgo.Publish{HostIP: netip.MustParseAddr("2001:db8::1"), HostPort: 8080, ContainerPort: 80}, both,
			"inet addressports6 { 2001:db8::1 . tcp . 8080 : fd10::2 . 80 }", "inet published6 { fd10::2 }"),
		Entry("of all addresses of one family", netsetgo.Publish{HostIP: netip.IPv4Unspecified(), HostPort: 8080, ContainerPort: 80}, both,
			"inet ports4 { tcp . 8080 : 10.10.10.2 . 80 }", "inet published4 { 10.10.10.2 }"),
		Entry("of all addresses of IPv6", netsetgo.Publish{HostIP: netip.IPv6Unspecified(), HostPort: 8080, ContainerPort: 80}, both,
			"inet ports6 { tcp . 8080 : fd10::2 . 80 }", "inet published6 { fd10::2 }"),
		Entry("of a family that the container hasn't are none", netsetgo.Publish{HostIP: netip.IPv6Unspecified(), HostPort: 8080, ContainerPort: 80}, []netip.Addr{addr4}),
	)

	port := func(host string, number int, protocol string, to ...netip.Addr) []firewall.Element {
		p := netsetgo.Publish{HostPort: number, ContainerPort: 80, Protocol: protocol}
		if host != "" {
			p.HostIP = netip.MustParseAddr(host)
		}
		return firewall.Ports(p, to)
	}

	DescribeTable("share a port of the host", func(one, other []firewall.Element, shares bool) {
		Expect(one[0].SharesPort(other[0])).To(Equal(shares))
		Expect(other[0].SharesPort(one[0])).To(Equal(shares))
	},
		Entry("where one has it by one address", port("", 80, "tcp", addr4), port("192.0.2.1", 80, "tcp", addr4), true),
		Entry("of IPv6", port("", 80, "tcp", addr6), port("2001:db8::1", 80, "tcp", addr6), true),
		Entry("but not of two families", port("", 80, "tcp", addr6), port("192.0.2.1", 80, "tcp", addr4), false),
		Entry("but not of two numbers", port("", 81, "tcp", addr4), port("192.0.2.1", 80, "tcp", addr4), false),
		Entry("but not of two protocols", port("", 80, "udp", addr4), port("192.0.2.1", 80, "tcp", addr4), false),
		Entry("but not by two addresses", port("192.0.2.2", 80, "tcp", addr4), port("192.0.2.1", 80, "tcp", addr4), false),
		Entry("but not where both are one key", port("", 80, "tcp", addr4), port("", 80, "tcp", addr4), false),
		Entry("but not with what is no port", port("", 80, "tcp", addr4), firewall.Sender(mac, both), false),
	)

	It("have the same key whatever their data are", func() {
		one, other := port("", 80, "tcp", addr4)[0], port("", 80, "tcp", netip.MustParseAddr("10.10.10.3"))[0]
		Expect(one.SameKey(other)).To(BeTrue())
		Expect(one.SameKey(port("", 81, "tcp", addr4)[0])).To(BeFalse())
		Expect(one.SameKey(port("", 80, "tcp", addr6)[0])).To(BeFalse(), "of another set")
	})

	DescribeTable("tell the container's address", func(elements []firewall.Element, want string) {
		for _, element := range elements {
			found, ok := element.ContainerAddress()
			Expect(ok).To(Equal(want != ""), element.String())
			if ok {
				Expect(found).To(Equal(netip.MustParseAddr(want)), element.String())
			}
		}
	},
		Entry("of a port", port("192.0.2.1", 80, "tcp", addr4), "10.10.10.2"),
		Entry("of a port of IPv6", port("", 80, "tcp", addr6), "fd10::2"),
		Entry("of a sender", firewall.Sender(mac, []netip.Addr{addr4}), "10.10.10.2"),
		Entry("of a sender of IPv6", firewall.Sender(mac, []netip.Addr{addr6}), "fd10::2"),
		Entry("not of a bridge", firewall.Policy{NAT: true}.Elements("brg0"), ""),
	)

	It("are kept in the sets that are said to be those of ports and of senders", func() {
		names := func(sets []firewall.Set) []string {
			var all []string
			for _, set := range sets {
				all = append(all, set.Name)
			}
			return all
		}
		Expect(names(firewall.PortMaps())).To(ConsistOf("ports4", "ports6", "addressports4", "addressports6"))
		Expect(names(firewall.LinkSets())).To(ConsistOf("unchecked", "locked", "macs", "carriers", "uplinks", "exempt"))
		Expect(names(firewall.SenderSets())).To(ConsistOf("senders4", "senders6", "targets6"))
	})
})

var _ = Describe("values", Label("unit"), func() {
	DescribeTable("are as the kernel has them, and read back", func(kind firewall.Type, value firewall.Value, want []byte, text string) {
		Expect(value.Bytes()).To(Equal(want))
		Expect(value.String()).To(Equal(text))
		Expect(firewall.ValueOf(kind, value.Bytes())).To(Equal(value))
	},
		Entry("a name", firewall.TypeName, firewall.LinkName("brg0"), []byte("brg0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), `"brg0"`),
		Entry("a name of 15 bytes", firewall.TypeName, firewall.LinkName("abcdefghijklmno"), []byte("abcdefghijklmno\x00"), `"abcdefghijklmno"`),
		Entry("an IPv4 address", firewall.TypeAddress4, firewall.Address{Addr: addr4}, []byte{10, 10, 10, 2}, "10.10.10.2"),
		Entry("an IPv6 address", firewall.TypeAddress6, firewall.Address{Addr: addr6}, []byte{0xfd, 0x10, 15: 2}, "fd10::2"),
		Entry("a target", firewall.TypeTarget, firewall.TargetAddress{Addr: addr6}, []byte{0xfd, 0x10, 15: 2}, "0xfd100000000000000000000000000002"),
		Entry("a MAC", firewall.TypeMAC, firewall.MAC(mac), []byte{0x6e, 0x73, 10, 10, 10, 2}, "6e:73:0a:0a:0a:02"),
		Entry("a port", firewall.TypePort, firewall.Port(0x1234), []byte{0x12, 0x34}, "4660"),
		Entry("a protocol", firewall.TypeProtocol, firewall.Protocol("sctp"), []byte{132}, "sctp"),
		Entry("an unknown protocol", firewall.TypeProtocol, firewall.Constant{Name: "2f", Value: []byte{47}}, []byte{47}, "2f"),
		Entry("a family", firewall.TypeFamily, firewall.Family6, []byte{10}, "ipv6"),
		Entry("an unknown family", firewall.TypeFamily, firewall.Constant{Name: "06", Value: []byte{6}}, []byte{6}, "06"),
	)
})
