package kernel_test

import (
	"net/netip"
	"os"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("changes of IPv6", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	// pairUp is a pair whose ends are both up, and which are quiet by themselves.
	pairUp := func(conn configurer.Conn, container *os.File) (bridge, peer int) {
		GinkgoHelper()
		bridge = addBridge(conn, "b")
		do(conn, configurer.SilenceIPv6{Link: bridge}, configurer.SetUp{Link: bridge, Up: true})
		host, peer := addPair(conn, bridge, "host", container, "eth0")
		inside := connect(container)
		do(conn, configurer.SilenceIPv6{Link: host}, configurer.SetUp{Link: host, Up: true})
		do(inside, configurer.SilenceIPv6{Link: peer}, configurer.SetUp{Link: peer, Up: true})
		link(conn, "host")
		link(conn, "b")
		return bridge, peer
	}

	It("is none where it is switched off, and says so", func() {
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		sh("echo 1 >/proc/sys/net/ipv6/conf/b/disable_ipv6")
		Expect(try(conn, configurer.AddAddress{Link: bridge, Address: prefix("fd10::1/64")})).To(HaveExactElements(MatchErrorStrictly(configurer.ErrNoIPv6)))
		Expect(try(conn, configurer.AddAddress{Link: bridge, Address: prefix("10.10.10.1/24")})).To(HaveExactElements(BeNil()))
	})

	It("add addresses that can be used at once", func() {
		container := newNamespace()
		conn := connect(nil)
		bridge, peer := pairUp(conn, container)
		inside := connect(container)
		By("seeing that others can't")
		in(container, "ip address add fd10::99/64 dev eth0")
		Expect(in(container, "ip -6 address show dev eth0 tentative")).To(ContainSubstring("fd10::99"))

		do(conn, configurer.AddAddress{Link: bridge, Address: prefix("fd10::1/64")}, configurer.AddAddress{Link: bridge, Address: prefix("fe80::1/64")})
		do(inside, configurer.AddAddress{Link: peer, Address: prefix("fd10::2/64")})
		Expect(sh("ip -6 address show dev b tentative")).To(BeEmpty())
		Expect(in(container, "ip -6 address show dev eth0 tentative")).NotTo(ContainSubstring("fd10::2"))
		in(container, "ping -6 -q -c1 -W1 fd10::1")

		Expect(sh("ip -6 -o address show dev b")).To(And(
			ContainSubstring("inet6 fd10::1/64 scope global nodad"), ContainSubstring("inet6 fe80::1/64 scope link nodad")))
		Expect(conn.Addresses(bridge)).To(Equal([]netip.Prefix{prefix("fd10::1/64")}), "without the link-local one")
		By("deleting them")
		do(conn, configurer.DeleteAddress{Link: bridge, Address: prefix("fd10::1/64")}, configurer.DeleteAddress{Link: bridge, Address: prefix("fe80::1/64")})
		Expect(sh("ip -6 -o address show dev b")).To(BeEmpty())
		Expect(try(conn, configurer.DeleteAddress{Link: bridge, Address: prefix("fd10::1/64")})).To(HaveExactElements(MatchErrorStrictly(configurer.ErrNotFound)))
	})

	It("refuse an address that is there", func() {
		conn := connect(nil)
		bridge, _ := pairUp(conn, newNamespace())
		do(conn, configurer.AddAddress{Link: bridge, Address: prefix("fd10::1/64")})
		Expect(try(conn, configurer.AddAddress{Link: bridge, Address: prefix("fd10::1/64")})).To(HaveExactElements(MatchErrorStrictly(configurer.ErrExists)))
	})

	It("add and delete routes, with the metric that was asked for or the kernel's own", func() {
		container := newNamespace()
		_, peer := pairUp(connect(nil), container)
		conn := connect(container)
		do(conn, configurer.AddAddress{Link: peer, Address: prefix("fd10::2/64")})
		before, err := conn.Routes()
		Expect(err).NotTo(HaveOccurred())
		routes := []configurer.Route{
			routeBy(peer, "::/0", "fd10::1", 0),
			routeBy(peer, "fd20::/16", "fe80::1", 0),
			routeBy(peer, "fd20::/16", "fd10::3", 7),
			routeBy(peer, "fd30::1/128", "fd10::3", 4294967295),
		}
		for _, route := range routes {
			do(conn, configurer.AddRoute{Route: route})
			Expect(try(conn, configurer.AddRoute{Route: route})).To(HaveExactElements(MatchErrorStrictly(configurer.ErrExists)))
		}
		Expect(conn.Routes()).To(ConsistOf(append(routes, before...)))
		Expect(in(container, "ip -6 route")).To(And(
			ContainSubstring("default via fd10::1 dev eth0 proto static metric 1024"),
			ContainSubstring("fd20::/16 via fd10::3 dev eth0 proto static metric 7"),
			ContainSubstring("fd20::/16 via fe80::1 dev eth0 proto static metric 1024"),
		))
		for i, route := range routes {
			do(conn, configurer.DeleteRoute{Route: route})
			Expect(conn.Routes()).To(ConsistOf(append(append([]configurer.Route{}, routes[i+1:]...), before...)), "that one alone")
		}
		Expect(try(conn, configurer.DeleteRoute{Route: routes[0]})).To(HaveExactElements(MatchErrorStrictly(configurer.ErrNotFound)))
	})

	DescribeTable("find the route to an address", func(to, destination, device string) {
		conn := connect(nil)
		sh(`ip link add b1 type bridge
			ip link set b1 addrgenmode none
			ip link set b1 up
			ip address add fd01::1/64 dev b1 nodad
			ip -6 route add fd00::/8 via fd01::2
			ip -6 route add unreachable fd77::/16`)
		route, err := conn.RouteTo(addr(to))
		if destination == "" {
			Expect(err).To(MatchErrorStrictly(configurer.ErrNotFound))
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(route.Destination).To(Equal(prefix(destination)))
		Expect(route.Link).To(Equal(link(conn, device).Index))
	},
		Entry("of a neighbour", "fd01::7", "fd01::/64", "b1"),
		Entry("behind a gateway", "fd07::1", "fd00::/8", "b1"),
		Entry("where there is none", "2001:db8::1", "", ""),
		Entry("that is unreachable", "fd77::1", "", ""),
	)
})
