package netsetgo_test

import (
	"net"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

// attached is a container as it is there.
func attached() netsetgo.Attachment {
	return netsetgo.Attachment{
		Bridge: netsetgo.Interface{Name: "tower"}, HostLink: netsetgo.Interface{Name: "veth12"},
		BridgeAddresses: []netip.Prefix{netip.MustParsePrefix("192.168.7.1/24"), netip.MustParsePrefix("10.0.0.1/24")},
		Leases:          []netsetgo.Lease{{Address: netip.MustParseAddr("10.0.0.5"), Gateway: netip.MustParsePrefix("10.0.0.1/24")}},
		Container:       netsetgo.Interface{Name: "eth0", MTU: 1400, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, ID: "web",
		Routes: []netsetgo.Route{to("0.0.0.0/0", "10.0.0.1", 0), to("192.168.0.0/16", "10.0.0.1", 7), to("172.16.0.0/12", "10.0.0.9", 0)},
	}
}

var _ = Describe("comparing an attachment with what is asked for", Label("unit"), func() {
	asked := func(change func(*netsetgo.NetworkConfig)) func() netsetgo.NetworkConfig {
		return func() netsetgo.NetworkConfig {
			var config netsetgo.NetworkConfig
			change(&config)
			return config
		}
	}

	DescribeTable("finds no difference", func(config func() netsetgo.NetworkConfig) {
		Expect(attached().Differences(config())).To(BeEmpty())
	},
		Entry("in defaults, which nobody asked for", asked(func(*netsetgo.NetworkConfig) {})),
		Entry("in the bridge's name", asked(func(c *netsetgo.NetworkConfig) { c.BridgeName = "tower" })),
		Entry("in one of the bridge's addresses", asked(func(c *netsetgo.NetworkConfig) { *c = bridged("192.168.7.1/24") })),
		Entry("in the container's address", asked(func(c *netsetgo.NetworkConfig) { c.ContainerIP = net.IPv4(10, 0, 0, 5) })),
		Entry("in the prefix", asked(func(c *netsetgo.NetworkConfig) { c.VethNamePrefix = "veth" })),
		Entry("in the id", asked(func(c *netsetgo.NetworkConfig) { c.ID = "web" })),
		Entry("in an id that came along", asked(func(c *netsetgo.NetworkConfig) { c.ID, c.IDIsHint = "other", true })),
		Entry("in the MTU", asked(func(c *netsetgo.NetworkConfig) { c.MTU = 1400 })),
		Entry("in the MAC", asked(func(c *netsetgo.NetworkConfig) { c.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1} })),
		Entry("in a default route", asked(func(c *netsetgo.NetworkConfig) { c.DefaultRoute = netsetgo.Yes })),
		Entry("in a route with its gateway", asked(func(c *netsetgo.NetworkConfig) { *c = routed(to("172.16.0.0/12", "10.0.0.9", 0)) })),
		Entry("in a route by way of the bridge that is there", asked(func(c *netsetgo.NetworkConfig) { *c = routed(to("192.168.0.0/16", "", 7)) })),
		Entry("in a route by way of the bridge that is named", asked(func(c *netsetgo.NetworkConfig) {
			*c = bridged("10.0.0.1/24")
			c.Routes = []netsetgo.Route{to("192.168.0.0/16", "", 7)}
		})),
		Entry("in a default route that was asked for as a route", asked(func(c *netsetgo.NetworkConfig) {
			*c = routed(to("0.0.0.0/0", "10.0.0.1", 0))
			c.DefaultRoute = netsetgo.No
		})),
	)

	DescribeTable("finds a difference", func(config func() netsetgo.NetworkConfig, difference string) {
		Expect(attached().Differences(config())).To(Equal([]string{difference}))
	},
		Entry("in the bridge's name", asked(func(c *netsetgo.NetworkConfig) { c.BridgeName = "brg0" }),
			"bridgeName is tower, asked for is brg0"),
		Entry("in the bridge's address", asked(func(c *netsetgo.NetworkConfig) { *c = bridged("10.0.0.2/24") }),
			"bridgeAddress is [192.168.7.1/24 10.0.0.1/24], asked for is 10.0.0.2/24"),
		Entry("in the bridge's subnet", asked(func(c *netsetgo.NetworkConfig) { *c = bridged("10.0.0.1/16") }),
			"bridgeAddress is [192.168.7.1/24 10.0.0.1/24], asked for is 10.0.0.1/16"),
		Entry("in the container's address", asked(func(c *netsetgo.NetworkConfig) { c.ContainerIP = net.IPv4(10, 0, 0, 6) }),
			"containerAddress is 10.0.0.5, asked for is 10.0.0.6"),
		Entry("in the prefix", asked(func(c *netsetgo.NetworkConfig) { c.VethNamePrefix = "v" }),
			"vethNamePrefix is not that of veth12, asked for is v"),
		Entry("in the id", asked(func(c *netsetgo.NetworkConfig) { c.ID = "a\x1b" }),
			`id is "web", asked for is "a\x1b"`),
		Entry("in the MTU", asked(func(c *netsetgo.NetworkConfig) { c.MTU = 1500 }),
			"mtu is 1400, asked for is 1500"),
		Entry("in the MAC", asked(func(c *netsetgo.NetworkConfig) { c.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 2} }),
			"mac is 02:00:00:00:00:01, asked for is 02:00:00:00:00:02"),
		Entry("in a default route", asked(func(c *netsetgo.NetworkConfig) { c.DefaultRoute = netsetgo.No }),
			"defaultRoute is true, asked for is false"),
		Entry("in a route", asked(func(c *netsetgo.NetworkConfig) { *c = routed(to("192.168.0.0/24", "", 7)) }),
			"route 192.168.0.0/24 via 10.0.0.1 metric 7 isn't there"),
		Entry("in a route's gateway", asked(func(c *netsetgo.NetworkConfig) { *c = routed(to("172.16.0.0/12", "", 0)) }),
			"route 172.16.0.0/12 via 10.0.0.1 metric 0 isn't there"),
		Entry("in a route's metric", asked(func(c *netsetgo.NetworkConfig) { *c = routed(to("192.168.0.0/16", "", 8)) }),
			"route 192.168.0.0/16 via 10.0.0.1 metric 8 isn't there"),
	)

	It("finds a default route missing", func() {
		attachment := attached()
		attachment.Routes = attachment.Routes[1:]
		Expect(attachment.Differences(netsetgo.NetworkConfig{DefaultRoute: netsetgo.Yes})).To(
			Equal([]string{"defaultRoute is false, asked for is true"}))
	})

	It("lists them all", func() {
		config := bridged("10.1.0.1/16")
		config.BridgeName, config.MTU, config.ID = "brg0", 68, "db"
		config.ContainerIP = net.IPv4(10, 1, 0, 2)
		Expect(attached().Differences(config)).To(HaveLen(5))
	})
})
