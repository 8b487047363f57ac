package kernel_test

import (
	"net/netip"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("reading addresses and routes", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("finds the addresses of one link, but for link-local ones", func() {
		conn := connect(nil)
		sh(`ip link add name b type bridge
			ip link add other type bridge
			ip address add 10.0.0.1/24 dev b
			ip address add 10.0.0.9/24 dev b
			ip address add 172.16.0.1/12 dev b
			ip address add fd00::1/64 dev b
			ip address add fe80::7/64 dev b
			ip address add 10.9.0.1/24 dev other`)
		addresses, err := conn.Addresses(link(conn, "b").Index)
		Expect(err).NotTo(HaveOccurred())
		Expect(addresses).To(ConsistOf(prefix("10.0.0.1/24"), prefix("10.0.0.9/24"), prefix("172.16.0.1/12"), prefix("fd00::1/64")))
		Expect(conn.Addresses(1)).To(BeEmpty())
		Expect(second(conn.Addresses(999))).To(MatchErrorStrictly(configurer.ErrNotFound))
	})

	It("finds the routes of the main table", func() {
		conn := connect(nil)
		Expect(conn.Routes()).To(BeEmpty())
		sh(`ip link add name b type bridge
			ip address add 10.0.0.1/24 dev b
			ip address add fd00::1/64 dev b nodad
			ip link set dev b addrgenmode none
			ip link set dev b up
			ip route add default via fd00::2
			ip route add fd07::/16 via fd00::3 metric 7
			ip route add default via 10.0.0.2 metric 5
			ip route add 192.168.0.0/16 via 10.0.0.3
			ip route add 172.16.0.0/12 dev b
			ip route add 1.2.3.4 via 10.0.0.4 table 77`)
		index := link(conn, "b").Index
		onLink := func(destination string) configurer.Route {
			route := configurer.Route{Link: index}
			route.Destination = prefix(destination)
			return route
		}
		withMetric := func(route configurer.Route, metric int) configurer.Route {
			route.Metric = metric
			return route
		}
		Expect(conn.Routes()).To(ConsistOf(
			routeBy(index, "0.0.0.0/0", "10.0.0.2", 5), routeBy(index, "192.168.0.0/16", "10.0.0.3", 0),
			routeBy(index, "::/0", "fd00::2", 0), routeBy(index, "fd07::/16", "fd00::3", 7),
			onLink("10.0.0.0/24"), onLink("172.16.0.0/12"), withMetric(onLink("fd00::/64"), 256),
		))
	})

	DescribeTable("finds the route to an address", func(addr, destination, device string) {
		conn := connect(nil)
		sh(`ip link add b1 type bridge
			ip link set b1 up
			ip address add 10.0.1.1/24 dev b1
			ip route add 10.0.0.0/8 via 10.0.1.2`)
		route, err := conn.RouteTo(netip.MustParseAddr(addr))
		if destination == "" {
			Expect(err).To(MatchErrorStrictly(configurer.ErrNotFound))
			return
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(route.Destination).To(Equal(prefix(destination)))
		Expect(route.Link).To(Equal(link(conn, device).Index))
	},
		Entry("of a neighbour", "10.0.1.7", "10.0.1.0/24", "b1"),
		Entry("behind a gateway", "10.7.0.1", "10.0.0.0/8", "b1"),
		Entry("of the host itself", "10.0.1.1", "10.0.1.1/32", "b1"),
		Entry("where there is none", "192.168.0.1", "", ""),
	)
})
