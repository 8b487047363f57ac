package kernel_test

import (
	"fmt"

	"github.com/netsetgo/netsetgo/ci/testnet"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("reading the links of default routes", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	// found are those of a host with three links, by name and family.
	found := func(script string) []string {
		GinkgoHelper()
		conn := connect(nil)
		sh(`for n in 1 2 3; do
				ip link add b$n type bridge
				ip link set b$n addrgenmode none
				ip link set b$n up
				ip address add 10.0.$n.1/24 dev b$n
				ip address add fd0$n::1/64 dev b$n nodad
			done
			%s`, script)
		uplinks, err := conn.Uplinks()
		Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, uplink := range uplinks {
			family := 4
			if uplink.IPv6 {
				family = 6
			}
			names = append(names, fmt.Sprintf("%s/%d", sh("ip -o link show | sed -n 's/^%d: \\([^:@]*\\).*/\\1/p' | tr -d '\\n'", uplink.Link), family))
		}
		return names
	}

	DescribeTable("finds them, first the one that is used", func(script string, want ...string) {
		Expect(found(script)).To(HaveExactElements(want))
	},
		Entry("where there is none", ""),
		Entry("by a gateway", "ip route add default via 10.0.1.2", "b1/4"),
		Entry("by a device alone", "ip route add default dev b2", "b2/4"),
		Entry("of IPv6", "ip -6 route add default via fd01::2", "b1/6"),
		Entry("of IPv6 by a link-local gateway, as router advertisements have it",
			"ip -6 route add default via fe80::2 dev b2 proto ra metric 1024 expires 600", "b2/6"),
		Entry("of both families", "ip route add default via 10.0.1.2; ip -6 route add default via fd01::2; ip -6 route add default via fd02::2 metric 2000",
			"b1/4", "b1/6", "b2/6"),
		Entry("of several metrics", "ip route add default via 10.0.1.2 metric 20; ip route add default via 10.0.2.2 metric 10", "b2/4", "b1/4"),
		Entry("of several metrics, by one device", "ip route add default via 10.0.1.2 metric 20; ip route add default via 10.0.1.3 metric 10", "b1/4"),
		Entry("in two halves", "ip route add 0.0.0.0/1 dev b1; ip route add 128.0.0.0/1 via 10.0.2.2", "b2/4", "b1/4"),
		Entry("halves before a whole", "ip route add default dev b2; ip route add 0.0.0.0/1 dev b1; ip route add 128.0.0.0/1 dev b1", "b1/4", "b2/4"),
		Entry("in two halves of IPv6", "ip -6 route add ::/1 dev b1; ip -6 route add 8000::/1 dev b1", "b1/6"),
		Entry("of all of IPv6 that is given out", "ip -6 route add 2000::/3 dev b3", "b3/6"),
		Entry("of another table", "ip route add default dev b2 table 77; ip rule add table 77", "b2/4"),
		Entry("of another table of IPv6", "ip -6 route add default dev b2 table 77; ip -6 rule add table 77", "b2/6"),
		Entry("of another table before the main one's", "ip route add default dev b1; ip route add default dev b2 table 77; ip rule add priority 5 table 77", "b2/4", "b1/4"),
		Entry("not a route to a quarter", "ip route add 192.0.0.0/2 dev b1"),
		Entry("not a route to a sixteenth of IPv6", "ip -6 route add 3000::/4 dev b1"),
		Entry("not an unreachable one", "ip route add unreachable default; ip -6 route add unreachable default"),
		Entry("not a blackhole", "ip route add blackhole default; ip -6 route add blackhole default"),
		Entry("not a prohibited one", "ip route add prohibit default; ip -6 route add prohibit default"),
		Entry("behind an unreachable one", "ip route add unreachable default metric 1; ip route add default dev b1 metric 2", "b1/4"),
		Entry("where the addresses that are asked for go nowhere",
			"ip route add default dev b1; ip route add blackhole 240.0.0.0/4; ip -6 route add default dev b2; ip -6 route add unreachable 3fff::/20", "b1/4", "b2/6"),
		Entry("by a nexthop object, where routes don't tell its link",
			"sysctl -qw net.ipv4.nexthop_compat_mode=0; ip nexthop add id 1 via 10.0.3.2 dev b3; ip route add default nhid 1; ip nexthop add id 2 via fd02::2 dev b2; ip -6 route add default nhid 2", "b3/4", "b2/6"),
		Entry("before an unreachable one", "ip route add default dev b1 metric 2; ip route add unreachable default metric 3", "b1/4"),
		Entry("before an unreachable one of IPv6", "ip -6 route add default dev b1 metric 2; ip -6 route add unreachable default metric 4000", "b1/6"),
		Entry("by a nexthop object", "ip nexthop add id 1 via 10.0.3.2 dev b3; ip route add default nhid 1", "b3/4"),
		Entry("that leads to the other family", "ip -4 route add default via inet6 fe80::2 dev b1", "b1/4"),
	)

	// Which way is the first is the kernel's to choose, by a hash that begins anew with it.
	DescribeTable("finds all ways of one", func(script, first, second string) {
		Expect(found(script)).To(ConsistOf(first, second))
	},
		Entry("of IPv4", "ip route add default nexthop via 10.0.2.2 nexthop via 10.0.1.2", "b2/4", "b1/4"),
		Entry("of IPv6", "ip -6 route add default nexthop via fd02::2 nexthop via fd01::2", "b2/6", "b1/6"),
		Entry("of a group of nexthop objects",
			"ip nexthop add id 1 via 10.0.3.2 dev b3; ip nexthop add id 2 via 10.0.1.2 dev b1; ip nexthop add id 7 group 1/2; ip route add default nhid 7", "b3/4", "b1/4"),
	)

	It("finds none before anything in the namespace is up", func() {
		Expect(connect(newNamespace()).Uplinks()).To(BeEmpty())
	})

	It("finds none of IPv6 where it is switched off", func() {
		conn := connect(nil)
		sh(`echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
			ip link add b1 type bridge
			ip link set b1 up
			ip address add 10.0.1.1/24 dev b1
			ip route add default via 10.0.1.2`)
		uplinks, err := conn.Uplinks()
		Expect(err).NotTo(HaveOccurred())
		Expect(uplinks).To(HaveExactElements(HaveField("IPv6", false)))
	})
})
