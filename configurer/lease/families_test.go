package lease_test

import (
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/configurer/lease"
)

var _ = Describe("the address of the other family", Label("unit"), func() {
	DescribeTable("is as far from the beginning of its subnet", func(gateway, other, addr, pair string) {
		found := lease.Pair(netip.MustParsePrefix(gateway), netip.MustParsePrefix(other), netip.MustParseAddr(addr))
		if pair == "" {
			Expect(found.IsValid()).To(BeFalse(), found.String())
			return
		}
		Expect(found).To(Equal(netip.MustParseAddr(pair)))
	},
		Entry("by default", "fd10::1/64", "10.10.10.1/24", "10.10.10.7", "fd10::7"),
		Entry("the first", "fd10::1/64", "10.10.10.1/24", "10.10.10.1", "fd10::1"),
		Entry("the last", "fd10::1/64", "10.10.10.1/24", "10.10.10.254", "fd10::fe"),
		Entry("in the middle of a byte", "fd10::1/64", "10.1.1.9/29", "10.1.1.10", "fd10::2"),
		Entry("of a wide subnet", "fd10::1/64", "10.0.0.1/8", "10.255.255.254", "fd10::ff:fffe"),
		Entry("of a subnet that begins late", "fd10::8000:0:0:1/65", "10.10.10.1/24", "10.10.10.7", "fd10::8000:0:0:7"),
		Entry("of a subnet within 64 bits", "fd10::1:0/112", "10.10.10.1/24", "10.10.10.7", "fd10::1:7"),
		Entry("of a small subnet", "fd10::1/126", "10.10.10.1/24", "10.10.10.3", "fd10::3"),
		Entry("beyond its end", "fd10::1/126", "10.10.10.1/24", "10.10.10.4", ""),
		Entry("beyond its end, at the end of all", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd/126", "10.10.10.1/24", "10.10.10.4", ""),
	)

	DescribeTable("that are tried of IPv6 leave out the gateway and the network alone", func(gateway, next string, expected ...string) {
		Expect(candidates(gateway, next)).To(Equal(expected))
	},
		Entry("/126", "fd10::1/126", "", "fd10::2", "fd10::3"),
		Entry("/126, from the last", "fd10::1/126", "fd10::3", "fd10::3", "fd10::2"),
		Entry("/126, gateway last", "fd10::3/126", "", "fd10::1", "fd10::2"),
		Entry("at the end of all", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd/126", "",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
	)

	It("are enough of IPv6 for every port, and no more", func() {
		all := candidates("fd10::1/64", "fd10::ffff")
		Expect(len(all)).To(And(BeNumerically(">=", 1023), BeNumerically("<=", lease.Tries)))
		Expect(all[:2]).To(Equal([]string{"fd10::ffff", "fd10::1:0"}))
	})
})

var _ = Describe("the MAC of a container with IPv6", Label("unit"), func() {
	subnet4, subnet6 := netip.MustParsePrefix("10.10.10.1/24"), netip.MustParsePrefix("fd10::1/64")
	pair := func(addr netip.Addr) []netip.Addr {
		return []netip.Addr{addr, lease.Pair(subnet6, subnet4, addr)}
	}

	It("is of its own kind, of one device, and locally administered", func() {
		for _, addrs := range [][]netip.Addr{pair(netip.MustParseAddr("10.10.10.2")), {netip.MustParseAddr("fd10::2")}} {
			for first, mac := range map[byte][]byte{0x6e: lease.ContainerMAC(addrs...), 0xfe: lease.HostMAC(addrs...)} {
				Expect(mac).To(HaveLen(6))
				Expect(mac[:2]).To(Equal([]byte{first, 0x36}))
			}
			Expect(lease.ContainerMAC(addrs...)[2:]).To(Equal(lease.HostMAC(addrs...)[2:]))
		}
	})

	It("is no other container's of the bridge, with a pair of addresses or with IPv6 alone", func() {
		for _, of := range []func(addr netip.Addr) []netip.Addr{
			pair,
			func(addr netip.Addr) []netip.Addr { return pair(addr)[1:] },
			func(addr netip.Addr) []netip.Addr { return pair(addr)[:1] },
		} {
			seen := map[string]netip.Addr{}
			for addr := range lease.Candidates(subnet4, netip.Addr{}) {
				mac := lease.ContainerMAC(of(addr)...).String()
				Expect(seen).NotTo(HaveKey(mac), addr.String())
				seen[mac] = addr
			}
			Expect(seen).To(HaveLen(253))
		}
	})

	DescribeTable("isn't that of other addresses", func(one, other []string) {
		mac := func(texts []string) string {
			var addrs []netip.Addr
			for _, text := range texts {
				addrs = append(addrs, netip.MustParseAddr(text))
			}
			return lease.ContainerMAC(addrs...).String()
		}
		Expect(mac(one)).NotTo(Equal(mac(other)))
		Expect(mac(one)).To(Equal(mac(one)))
	},
		Entry("with IPv6, and without", []string{"10.10.10.2", "fd10::2"}, []string{"10.10.10.2"}),
		Entry("with IPv4, and without", []string{"10.10.10.2", "fd10::2"}, []string{"fd10::2"}),
		Entry("with another address of IPv6", []string{"10.10.10.2", "fd10::2"}, []string{"10.10.10.2", "fd10::3"}),
		Entry("with another of both", []string{"10.10.10.2", "fd10::2"}, []string{"10.10.10.3", "fd10::3"}),
		Entry("in another subnet", []string{"10.10.10.2", "fd10::2"}, []string{"10.10.10.2", "fd11::2"}),
		Entry("in another subnet, of IPv6 alone", []string{"fd10::2"}, []string{"fd11::2"}),
		Entry("in another subnet, of IPv4", []string{"10.10.10.2", "fd10::2"}, []string{"10.10.11.2", "fd10::2"}),
	)

	DescribeTable("is known as one that netsetgo derives", func(mac []byte, is bool) {
		Expect(lease.IsDerived(mac)).To(Equal(is))
	},
		Entry("of IPv4", []byte(lease.ContainerMAC(netip.MustParseAddr("10.10.10.2"))), true),
		Entry("of IPv6", []byte(lease.ContainerMAC(netip.MustParseAddr("fd10::2"))), true),
		Entry("of both", []byte(lease.ContainerMAC(pair(netip.MustParseAddr("10.10.10.2"))...)), true),
		Entry("one that was chosen", []byte{2, 0, 0, 0, 0, 9}, false),
		Entry("one that begins alike", []byte{0x6e, 0, 0, 0, 0, 9}, false),
	)
})
