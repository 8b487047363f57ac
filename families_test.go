package netsetgo_test

import (
	"net"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

var _ = Describe("a configuration with IPv6", Label("unit"), func() {
	// with is one of both families with a change.
	with := func(change func(*netsetgo.NetworkConfig)) func() netsetgo.NetworkConfig {
		return func() netsetgo.NetworkConfig {
			config := both("10.0.0.1/24", "fd00::1/64")()
			change(&config)
			return config
		}
	}
	on6 := func(address string) func() netsetgo.NetworkConfig {
		return func() netsetgo.NetworkConfig { return bridged6(address) }
	}
	container6 := func(address string) func() netsetgo.NetworkConfig {
		return with(func(c *netsetgo.NetworkConfig) { c.ContainerIP6 = net.ParseIP(address) })
	}
	routes := func(routes ...netsetgo.Route) func() netsetgo.NetworkConfig {
		return with(func(c *netsetgo.NetworkConfig) { c.Routes = routes })
	}

	DescribeTable("is refused with", func(config func() netsetgo.NetworkConfig, text string) {
		err := config().Validate()
		Expect(err).To(MatchError(netsetgo.ErrInvalid))
		Expect(err).To(MatchError(ContainSubstring(text)))
	},
		Entry("a bridge address without its subnet", of(netsetgo.NetworkConfig{BridgeIP6: net.ParseIP("fd00::1")}), "given together"),
		Entry("a subnet without a bridge address", of(netsetgo.NetworkConfig{Subnet6: &net.IPNet{}}), "given together"),
		Entry("an address of IPv4", with(func(c *netsetgo.NetworkConfig) { c.BridgeIP6 = net.IPv4(10, 0, 0, 1) }), "isn't one of IPv6"),
		Entry("a mask of IPv4", with(func(c *netsetgo.NetworkConfig) { c.Subnet6.Mask = net.CIDRMask(24, 32) }), "isn't one of IPv6"),
		Entry("a subnet without room: /127", on6("fd00::1/127"), "between /16 and /126"),
		Entry("a subnet without room: /128", on6("fd00::1/128"), "between /16 and /126"),
		Entry("a subnet of more than anybody has", on6("fd00::1/15"), "between /16 and /126"),
		Entry("a bridge address of the loopback", on6("::1/64"), "isn't an address that a device can have"),
		Entry("a bridge address of a group", on6("ff02::5/64"), "isn't an address that a device can have"),
		Entry("a bridge address of each link", on6("fe80::5/64"), "isn't an address that a device can have"),
		Entry("a bridge address that is the network's", on6("fd00::/64"), "network's own"),
		Entry("a bridge address outside its subnet", with(func(c *netsetgo.NetworkConfig) { c.BridgeIP6 = net.ParseIP("fd01::1") }), "isn't in the subnet fd00::/64"),
		Entry("a container address outside the subnet", container6("fd01::2"), "fd01::2 isn't in the bridge's subnet fd00::/64"),
		Entry("a container address that is the gateway's", container6("fd00::1"), "the gateway"),
		Entry("a container address that is the network's", container6("fd00::"), "network's own"),
		Entry("a container address of IPv4", container6("10.0.0.2"), "isn't in the bridge's subnet fd00::/64"),
		Entry("a container address of a family that the bridge lacks", of(netsetgo.NetworkConfig{ContainerIP6: net.ParseIP("fd00::2")}), "no address of its family"),
		Entry("a container address of IPv4 that the bridge lacks", func() netsetgo.NetworkConfig {
			config := bridged6("fd00::1/64")
			config.ContainerIP = net.IPv4(10, 10, 10, 2)
			return config
		}, "no address of its family"),
		Entry("an MTU of 1279", with(func(c *netsetgo.NetworkConfig) { c.MTU = 1279 }), "mtu 1279: IPv6 takes 1280 at least"),
		Entry("a gateway of the other family", routes(to("fd99::/16", "10.0.0.9", 0)), "isn't in the bridge's subnet fd00::/64"),
		Entry("a gateway of the other family, of IPv4", routes(to("192.168.0.0/16", "fd00::9", 0)), "isn't in the bridge's subnet 10.0.0.0/24"),
		Entry("host bits in a route", routes(to("fd99::1/16", "", 0)), "the network is fd99::/16"),
		Entry("the route that comes with the address", routes(to("fd00::/64", "", 0)), "there of itself"),
		Entry("a second default route", routes(to("::/0", "fd00::9", 0)), "twice"),
		Entry("a second default route by the metric that is the kernel's own", routes(to("::/0", "fd00::9", 1024)), "twice"),
		Entry("a route twice by that metric", routes(to("fd99::/16", "", 0), to("fd99::/16", "fd00::9", 1024)), "twice"),
		Entry("a route of IPv4 that the bridge lacks", func() netsetgo.NetworkConfig {
			config := bridged6("fd00::1/64")
			config.Routes = []netsetgo.Route{to("192.168.0.0/16", "", 0)}
			return config
		}, "no address of its family"),
	)

	DescribeTable("is accepted with", func(config func() netsetgo.NetworkConfig) {
		Expect(config().Validate()).To(Succeed())
	},
		Entry("both families", with(func(*netsetgo.NetworkConfig) {})),
		Entry("IPv6 alone", on6("fd00::1/64")),
		Entry("the smallest subnet", on6("fd00::1/126")),
		Entry("the largest subnet", on6("2001:db8::1/16")),
		Entry("a bridge that is the subnet's last", on6("fd00::3/126")),
		Entry("container addresses", with(func(c *netsetgo.NetworkConfig) {
			c.ContainerIP, c.ContainerIP6 = net.IPv4(10, 0, 0, 2), net.ParseIP("fd00::ffff")
		})),
		Entry("an MTU of 1280", with(func(c *netsetgo.NetworkConfig) { c.MTU = 1280 })),
		Entry("routes of both", routes(to("fd99::/16", "fd00::9", 7), to("192.168.0.0/16", "", 7))),
		Entry("a metric of 1024 in IPv4, beside none", routes(to("192.168.0.0/16", "", 0), to("192.168.0.0/16", "", 1024))),
	)

	It("has no IPv4 unless that is asked for", func() {
		config := bridged6("fd00::1/64").WithDefaults()
		Expect(config.Families()).To(HaveExactElements(netsetgo.Family{Gateway: netip.MustParsePrefix("fd00::1/64")}))
		Expect(config.HasIPv6()).To(BeTrue())
		Expect(config.Subnet).To(BeNil())
	})

	It("has both families, IPv4 first, with what is asked for of each", func() {
		config := container6("fd00::5")().WithDefaults()
		Expect(config.Families()).To(HaveExactElements(
			netsetgo.Family{Gateway: netip.MustParsePrefix("10.0.0.1/24")},
			netsetgo.Family{Gateway: netip.MustParsePrefix("fd00::1/64"), Address: netip.MustParseAddr("fd00::5")}))
	})

	It("has routes by the gateway of their family, and no metric where that is the kernel's own", func() {
		config := routes(to("fd99::/16", "", 1024), to("192.168.0.0/16", "", 1024), to("fd98::/16", "fd00::9", 7))()
		Expect(config.WithDefaults().AllRoutes()).To(HaveExactElements(
			to("0.0.0.0/0", "10.0.0.1", 0), to("::/0", "fd00::1", 0),
			to("fd99::/16", "fd00::1", 0), to("192.168.0.0/16", "10.0.0.1", 1024), to("fd98::/16", "fd00::9", 7)))
	})
})

var _ = Describe("comparing an attachment of both families", Label("unit"), func() {
	// dual has a lease of each, and what else there is to ask for.
	dual := func() netsetgo.Attachment {
		attachment := attached()
		attachment.BridgeAddresses = append(attachment.BridgeAddresses, netip.MustParsePrefix("fd00::1/64"))
		attachment.Leases = append(attachment.Leases, netsetgo.Lease{Address: netip.MustParseAddr("fd00::5"), Gateway: netip.MustParsePrefix("fd00::1/64")})
		attachment.Routes = append(attachment.Routes, to("::/0", "fd00::1", 0), to("fd99::/16", "fd00::1", 7))
		attachment.NAT, attachment.AllowInbound, attachment.Isolated = netsetgo.Yes, netsetgo.No, netsetgo.Yes
		attachment.SpoofCheck = true
		attachment.Publish = []netsetgo.Publish{onePort("", 80, "tcp").WithDefaults()}
		return attachment
	}

	DescribeTable("finds", func(change func(*netsetgo.NetworkConfig), differences ...string) {
		var config netsetgo.NetworkConfig
		change(&config)
		Expect(dual().Differences(config)).To(HaveExactElements(differences))
	},
		Entry("none in both addresses", func(c *netsetgo.NetworkConfig) { *c = both("10.0.0.1/24", "fd00::1/64")() }),
		Entry("none in IPv6 alone", func(c *netsetgo.NetworkConfig) {
			*c = bridged6("fd00::1/64")
			c.ContainerIP6 = net.ParseIP("fd00::5")
		}),
		Entry("another bridge address of IPv6", func(c *netsetgo.NetworkConfig) { *c = bridged6("fd00::2/64") },
			"bridgeAddress is [192.168.7.1/24 10.0.0.1/24 fd00::1/64], asked for is fd00::2/64"),
		Entry("another container address of IPv6", func(c *netsetgo.NetworkConfig) {
			*c = bridged6("fd00::1/64")
			c.ContainerIP6 = net.ParseIP("fd00::6")
		}, "containerAddress is fd00::5, asked for is fd00::6"),
		Entry("a route of IPv6 missing", func(c *netsetgo.NetworkConfig) { c.Routes = []netsetgo.Route{to("fd98::/16", "", 0)} },
			"route fd98::/16 via fd00::1 metric 0 isn't there"),
		Entry("none in a route of IPv6", func(c *netsetgo.NetworkConfig) { c.Routes = []netsetgo.Route{to("fd99::/16", "", 7)} }),
		Entry("a default route too many, once", func(c *netsetgo.NetworkConfig) { c.DefaultRoute = netsetgo.No },
			"defaultRoute is true, asked for is false"),
		Entry("none in what the bridge is like", func(c *netsetgo.NetworkConfig) {
			c.NAT, c.AllowInbound, c.Isolated, c.SpoofCheck = netsetgo.Yes, netsetgo.No, netsetgo.Yes, netsetgo.Yes
		}),
		Entry("all of what the bridge is like", func(c *netsetgo.NetworkConfig) {
			c.NAT, c.AllowInbound, c.Isolated, c.SpoofCheck = netsetgo.No, netsetgo.Yes, netsetgo.No, netsetgo.No
		}, "nat is true, asked for is false", "allowInbound is false, asked for is true",
			"isolated is true, asked for is false", "spoofCheck is true, asked for is false"),
		Entry("none in a port", func(c *netsetgo.NetworkConfig) { c.Publish = []netsetgo.Publish{onePort("", 80, "")} }),
		Entry("another port", func(c *netsetgo.NetworkConfig) { c.Publish = []netsetgo.Publish{onePort("", 81, "")} },
			"publish is [80:80/tcp], asked for is 81:80/tcp"),
		Entry("a port of another address", func(c *netsetgo.NetworkConfig) { c.Publish = []netsetgo.Publish{onePort("0.0.0.0", 80, "")} },
			"publish is [80:80/tcp], asked for is 0.0.0.0:80:80/tcp"),
	)

	It("finds one default route of two missing", func() {
		attachment := dual()
		attachment.Routes = attachment.Routes[:3]
		Expect(attachment.Differences(netsetgo.NetworkConfig{DefaultRoute: netsetgo.Yes})).To(
			Equal([]string{"defaultRoute is false, asked for is true"}))
	})

	It("finds a bridge of somebody else's to be neither", func() {
		attachment := dual()
		attachment.NAT, attachment.AllowInbound, attachment.Isolated = netsetgo.Default, netsetgo.Default, netsetgo.Default
		Expect(attachment.Differences(netsetgo.NetworkConfig{NAT: netsetgo.No, AllowInbound: netsetgo.No, Isolated: netsetgo.No})).To(BeEmpty())
		Expect(attachment.Differences(netsetgo.NetworkConfig{NAT: netsetgo.Yes})).To(HaveLen(1))
	})

	It("finds no lease of a family that the bridge has", func() {
		attachment := dual()
		attachment.Leases = attachment.Leases[:1]
		Expect(attachment.Differences(bridged6("fd00::1/64"))).To(
			Equal([]string{"containerAddress is none, asked for is one of fd00::/64"}))
	})
})
