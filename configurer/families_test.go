package configurer_test

import (
	"net"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

var _ = Describe("a container with IPv6", Label("unit"), func() {
	// addresses are those of a container, as it has them.
	addresses := func(w *world, n int) []string {
		var texts []string
		for _, address := range w.container(n).named("veth1").addresses {
			texts = append(texts, address.String())
		}
		return texts
	}

	It("has an address and a default route of each family, and a MAC that goes with both", func() {
		w := newWorld(1)
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(addresses(w, 1)).To(Equal([]string{"10.10.10.2/24", "fd10::2/64"}))
		Expect(w.container(1).routes).To(HaveExactElements(
			HaveField("Route", netsetgo.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.10.10.1")}),
			HaveField("Route", netsetgo.Route{Destination: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fd10::1")})))
		Expect(w.container(1).named("veth1").MAC).To(Equal(lease.ContainerMAC(netip.MustParseAddr("10.10.10.2"), netip.MustParseAddr("fd10::2"))))
		Expect(w.host().named("veth0").Altnames).To(ContainElements("netsetgo:a:9a37:brg0:10.10.10.2", "netsetgo:a:4000:brg0:fd10::2"))
		Expect(w.host().named("brg0").addresses).To(ConsistOf(
			netip.MustParsePrefix("10.10.10.1/24"), netip.MustParsePrefix("fd10::1/64"), netip.MustParsePrefix("fe80::1/64")))
		Expect(w.expectCheck(dual())).To(BeEmpty())
	})

	It("may have IPv6 alone, and the next one the next address", func() {
		w := newWorld(2).routed6()
		for n := range 2 {
			Expect(w.netset().Up(only6(), firstPid+n)).To(Succeed())
		}
		Expect(addresses(w, 1)).To(Equal([]string{"fd10::2/64"}))
		Expect(addresses(w, 2)).To(Equal([]string{"fd10::3/64"}))
		Expect(w.container(1).routes).To(ConsistOf(HaveField("Destination", netip.MustParsePrefix("::/0"))))
		Expect(w.host().named("brg0").Alias).To(Equal("netsetgo next=fd10::4 number=2 policy=closed,nat was=2/force_forwarding:0"))
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeFalse())
	})

	DescribeTable("has an address of IPv6 that follows that of IPv4", func(ask func(config *netsetgo.NetworkConfig), expected ...string) {
		w := newWorld(3)
		Expect(w.netset().Up(dual(), firstPid+1)).To(Succeed())
		config := dual()
		ask(&config)
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(addresses(w, 1)).To(Equal(expected))
	},
		Entry("leased", func(*netsetgo.NetworkConfig) {}, "10.10.10.3/24", "fd10::3/64"),
		Entry("asked for", func(c *netsetgo.NetworkConfig) { c.ContainerIP = net.IPv4(10, 10, 10, 77) }, "10.10.10.77/24", "fd10::4d/64"),
		Entry("unless it is asked for itself", func(c *netsetgo.NetworkConfig) { c.ContainerIP6 = net.ParseIP("fd10::99") }, "10.10.10.3/24", "fd10::99/64"),
		Entry("unless both are", func(c *netsetgo.NetworkConfig) {
			c.ContainerIP, c.ContainerIP6 = net.IPv4(10, 10, 10, 77), net.ParseIP("fd10::99")
		}, "10.10.10.77/24", "fd10::99/64"),
	)

	It("has the next free one, where that is taken", func() {
		w := newWorld(3)
		first := dual()
		first.ContainerIP6 = net.ParseIP("fd10::3")
		Expect(w.netset().Up(first, firstPid+1)).To(Succeed())
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(addresses(w, 1)).To(Equal([]string{"10.10.10.3/24", "fd10::4/64"}))
		Expect(w.netset().Up(dual(), firstPid+2)).To(Succeed())
		Expect(addresses(w, 3)).To(Equal([]string{"10.10.10.4/24", "fd10::5/64"}))
		Expect(w.container(1).named("veth1").MAC).NotTo(Equal(w.container(3).named("veth1").MAC))
	})

	It("is refused whole where one of its addresses is taken, and all is as before", func() {
		w := newWorld(2)
		config := dual()
		config.ContainerIP6 = net.ParseIP("fd10::99")
		Expect(w.netset().Up(config, firstPid+1)).To(Succeed())
		before := w.String()
		Expect(w.netset().Up(config, firstPid)).To(MatchError(And(
			ContainSubstring("leasing address fd10::99: "), ContainSubstring("choose another -containerAddress"))))
		Expect(w.String()).To(Equal(before))
	})

	It("is refused where there is a default route of IPv6", func() {
		w := newWorld(1)
		before := w.container(1).add(configurer.Link{Name: "eth7", Up: true})
		w.container(1).routes = []configurer.Route{{Route: netsetgo.Route{Destination: netip.MustParsePrefix("::/0"), Metric: 5}, Link: before.Index}}
		Expect(w.netset().Up(dual(), firstPid)).To(MatchError(ContainSubstring("use -defaultRoute=false")))
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed(), "which isn't in the way of IPv4")
	})

	It("joins a bridge of ours that has no IPv6 yet, which gets it", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(addresses(w, 1)).To(Equal([]string{"10.10.10.3/24", "fd10::3/64"}))
		Expect(w.host().named("brg0").addresses).To(ContainElement(netip.MustParsePrefix("fd10::1/64")))
		Expect(w.host().named("brg0").Settings.ForceForwarding).To(BeTrue())
		Expect(addresses(w, 2)).To(Equal([]string{"10.10.10.2/24"}))
	})

	It("is connected already only with both", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(dual(), firstPid)).To(MatchError(ContainSubstring("it is connected already, otherwise than asked: bridgeAddress")))
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
	})
})
