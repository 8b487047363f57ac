package netsetgo_test

import (
	"net"
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

// bridged is a configuration with a bridge address.
func bridged(address string) netsetgo.NetworkConfig {
	GinkgoHelper()
	ip, subnet, err := net.ParseCIDR(address)
	Expect(err).NotTo(HaveOccurred())
	return netsetgo.NetworkConfig{BridgeIP: ip, Subnet: subnet}
}

// routed is a configuration with routes, each "DESTINATION[ GATEWAY]".
func routed(routes ...netsetgo.Route) netsetgo.NetworkConfig {
	return netsetgo.NetworkConfig{Routes: routes}
}

func to(destination, gateway string, metric int) netsetgo.Route {
	route := netsetgo.Route{Destination: netip.MustParsePrefix(destination), Metric: metric}
	if gateway != "" {
		route.Gateway = netip.MustParseAddr(gateway)
	}
	return route
}

// in adds a container's address to a configuration.
func in(bridge, container string) func() netsetgo.NetworkConfig {
	return func() netsetgo.NetworkConfig {
		config := bridged(bridge)
		config.ContainerIP = net.ParseIP(container)
		return config
	}
}

func of(config netsetgo.NetworkConfig) func() netsetgo.NetworkConfig {
	return func() netsetgo.NetworkConfig { return config }
}

func on(bridge string) func() netsetgo.NetworkConfig {
	return func() netsetgo.NetworkConfig { return bridged(bridge) }
}

// names are all fields that name an interface, with the longest that fits.
var names = []struct {
	what string
	most int
	with func(name string) netsetgo.NetworkConfig
}{
	{"bridge name", 15, func(name string) netsetgo.NetworkConfig { return netsetgo.NetworkConfig{BridgeName: name} }},
	{"veth name prefix", 11, func(name string) netsetgo.NetworkConfig { return netsetgo.NetworkConfig{VethNamePrefix: name} }},
	{"container interface", 15, func(name string) netsetgo.NetworkConfig {
		return netsetgo.NetworkConfig{ContainerInterface: name}
	}},
}

var _ = Describe("validating a configuration", Label("unit"), func() {
	for _, name := range names {
		DescribeTable("refuses a "+name.what, func(value, text string) {
			err := name.with(value).Validate()
			Expect(err).To(MatchError(netsetgo.ErrInvalid))
			Expect(err).To(MatchError(And(ContainSubstring(name.what), ContainSubstring(text))))
			Expect(err).NotTo(MatchError(ContainSubstring("\x1b")), "a terminal's escape is quoted")
		},
			Entry("too long", strings.Repeat("x", name.most+1), "at most"),
			Entry("with a slash", "a/b", `"a/b"`),
			Entry("with a space", "a b", `"a b"`),
			Entry("with a NUL", "a\x00b", `"a\x00b"`),
			Entry("with an escape sequence", "a\x1b[31m", `"a\x1b[31m"`),
			Entry("with a line's end", "ab\n", `"ab\n"`),
			Entry("with a colon", "a:b", `"a:b"`),
			Entry("with a pattern", "a%db", `"a%db"`),
			Entry("with another alphabet", "ä", `"ä"`),
			Entry("that isn't text", "a\xff", `"a\xff"`),
			Entry("that is a path", "..", `".."`),
			Entry("that is a path here", ".", `"."`),
			Entry("that begins with a dot", ".a", `".a"`),
			Entry("that begins with a dash", "-a", `"-a"`),
			Entry("that begins with an underscore", "_a", `"_a"`),
			Entry("that is a directory of sysctls: all", "all", "a meaning of its own"),
			Entry("that is a directory of sysctls: default", "default", "a meaning of its own"),
			Entry("that is the loopback's", "lo", "a meaning of its own"),
		)

		DescribeTable("accepts a "+name.what, func(value string) {
			Expect(name.with(value).Validate()).To(Succeed())
		},
			Entry("that is empty, for its default", ""),
			Entry("of one letter", "x"),
			Entry("of one digit", "7"),
			Entry("as long as fits", strings.Repeat("x", name.most)),
			Entry("of everything that is allowed", "aZ0_.-"),
			Entry("that holds a name with a meaning", "all1"),
		)
	}

	DescribeTable("refuses", func(config func() netsetgo.NetworkConfig, text string) {
		err := config().Validate()
		Expect(err).To(MatchError(netsetgo.ErrInvalid))
		Expect(err).To(MatchError(ContainSubstring(text)))
	},
		Entry("an id with a space", of(netsetgo.NetworkConfig{ID: "a b"}), "id"),
		Entry("an id with a slash", of(netsetgo.NetworkConfig{ID: "a/b"}), "id"),
		Entry("an id with a NUL", of(netsetgo.NetworkConfig{ID: "a\x00"}), `"a\x00"`),
		Entry("an id with an escape sequence", of(netsetgo.NetworkConfig{ID: "a\x1b[31m"}), `"a\x1b[31m"`),
		Entry("an id with a hard space", of(netsetgo.NetworkConfig{ID: "a\u00a0b"}), "id"),
		Entry("an id that turns the line round", of(netsetgo.NetworkConfig{ID: "a\u202eb"}), "id"),
		Entry("an id that isn't text", of(netsetgo.NetworkConfig{ID: "a\xff"}), "id"),
		Entry("an id that is very long", of(netsetgo.NetworkConfig{ID: strings.Repeat("x", 1025)}), "1025 bytes"),

		Entry("a bridge address without its subnet", of(netsetgo.NetworkConfig{BridgeIP: net.IPv4(10, 0, 0, 1)}), "given together"),
		Entry("a subnet without a bridge address", func() netsetgo.NetworkConfig {
			return netsetgo.NetworkConfig{Subnet: bridged("10.0.0.1/24").Subnet}
		}, "given together"),
		Entry("a bridge address of IPv6", of(netsetgo.NetworkConfig{BridgeIP: net.ParseIP("fd00::1"), Subnet: bridged("10.0.0.1/24").Subnet}), "isn't one of IPv4"),
		Entry("a bridge address of no family", of(netsetgo.NetworkConfig{BridgeIP: net.IP{1, 2, 3}, Subnet: &net.IPNet{}}), "isn't one of IPv4"),
		Entry("a subnet without a mask", of(netsetgo.NetworkConfig{BridgeIP: net.IPv4(10, 0, 0, 1), Subnet: &net.IPNet{IP: net.IPv4(10, 0, 0, 0)}}), "mask"),
		Entry("a subnet whose mask has holes", of(netsetgo.NetworkConfig{
			BridgeIP: net.IPv4(10, 0, 0, 1), Subnet: &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.IPv4Mask(255, 0, 255, 0)},
		}), "mask"),
		Entry("a subnet without room: /31", on("10.0.0.1/31"), "between /8 and /30"),
		Entry("a subnet without room: /32", on("10.0.0.1/32"), "between /8 and /30"),
		Entry("a subnet of everything", on("10.0.0.1/0"), "between /8 and /30"),
		Entry("a subnet that holds more than addresses of devices", on("126.0.0.1/7"), "between /8 and /30"),
		Entry("a bridge address of the loopback", on("127.0.0.5/8"), "127.0.0.5/8"),
		Entry("a bridge address of a group", on("224.0.0.5/8"), "224.0.0.5/8"),
		Entry("a bridge address that is reserved", on("240.0.0.5/8"), "240.0.0.5/8"),
		Entry("a bridge address of this network", on("0.0.0.5/8"), "0.0.0.5/8"),
		Entry("a bridge address that is the network's", on("10.0.0.0/24"), "network's own"),
		Entry("a bridge address that is broadcast", on("10.0.0.255/24"), "broadcast"),
		Entry("a bridge address that is broadcast, in a subnet whose number is odd", on("192.168.1.255/24"), "broadcast"),
		Entry("a bridge address outside its subnet", func() netsetgo.NetworkConfig {
			config := bridged("10.0.0.1/24")
			config.BridgeIP = net.IPv4(10, 0, 1, 1)
			return config
		}, "isn't in the subnet 10.0.0.0/24"),

		Entry("a container address of IPv6", in("10.0.0.1/24", "fd00::2"), "isn't in the bridge's subnet 10.0.0.0/24"),
		Entry("a container address outside the subnet", in("10.0.0.1/24", "10.0.1.2"), "isn't in the bridge's subnet 10.0.0.0/24"),
		Entry("a container address that is the gateway's", in("10.0.0.1/24", "10.0.0.1"), "the gateway"),
		Entry("a container address that is the network's", in("10.0.0.1/24", "10.0.0.0"), "network's own"),
		Entry("a container address that is broadcast", in("10.0.0.1/24", "10.0.0.255"), "broadcast"),
		Entry("a container address that is broadcast, in a subnet whose number is odd", in("192.168.1.1/24", "192.168.1.255"), "broadcast"),
		Entry("a container address that is broadcast, in the least subnet", in("10.0.0.5/30", "10.0.0.7"), "broadcast"),
		Entry("a container address outside the default subnet", of(netsetgo.NetworkConfig{ContainerIP: net.IPv4(10, 0, 0, 2)}), "10.10.10.0/24"),
		Entry("a container address of no family", of(netsetgo.NetworkConfig{ContainerIP: net.IP{}}), "isn't in the bridge's subnet"),

		Entry("an MTU below 0", of(netsetgo.NetworkConfig{MTU: -1}), "mtu -1"),
		Entry("an MTU of 67", of(netsetgo.NetworkConfig{MTU: 67}), "mtu 67"),
		Entry("an MTU of 65536", of(netsetgo.NetworkConfig{MTU: 65536}), "mtu 65536"),
		Entry("a MAC that is short", of(netsetgo.NetworkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 1}}), "six bytes"),
		Entry("a MAC that is long", of(netsetgo.NetworkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 0, 0, 1}}), "six bytes"),
		Entry("a MAC without bytes", of(netsetgo.NetworkConfig{MAC: net.HardwareAddr{}}), "six bytes"),
		Entry("a MAC of a group", of(netsetgo.NetworkConfig{MAC: net.HardwareAddr{3, 0, 0, 0, 0, 1}}), "of one device"),
		Entry("a MAC of everybody", of(netsetgo.NetworkConfig{MAC: net.HardwareAddr{255, 255, 255, 255, 255, 255}}), "of one device"),
		Entry("a MAC of nobody", of(netsetgo.NetworkConfig{MAC: make(net.HardwareAddr, 6)}), "of one device"),

		Entry("a route to nowhere", of(routed(netsetgo.Route{})), "use a destination"),
		Entry("a route of IPv6", of(routed(to("fd00::/8", "", 0))), "no address of its family"),
		Entry("a route with host bits", of(routed(to("192.168.1.1/16", "", 0))), "host bits; the network is 192.168.0.0/16"),
		Entry("a route whose gateway is outside the subnet", of(routed(to("192.168.0.0/16", "10.0.0.9", 0))), "10.0.0.9 isn't in the bridge's subnet"),
		Entry("a route whose gateway is everybody", of(routed(to("192.168.0.0/16", "10.10.10.255", 0))), "10.10.10.255 is the broadcast address of 10.10.10.0/24"),
		Entry("the route that comes with the address", of(routed(to("10.10.10.0/24", "", 0))), "which is there of itself"),
		Entry("a route whose gateway is of IPv6", of(routed(to("192.168.0.0/16", "fd00::1", 0))), "isn't in the bridge's subnet"),
		Entry("a route with a metric below 0", of(routed(to("192.168.0.0/16", "", -1))), "metric -1"),
		Entry("a route with a metric too high", of(routed(to("192.168.0.0/16", "", 1<<32))), "metric 4294967296"),
		Entry("a route twice", of(routed(to("192.168.0.0/16", "", 0), to("192.168.0.0/16", "10.10.10.9", 0))), "twice"),
		Entry("a second default route", of(routed(to("0.0.0.0/0", "10.10.10.9", 0))), "twice"),
	)

	DescribeTable("accepts", func(config func() netsetgo.NetworkConfig) {
		Expect(config().Validate()).To(Succeed())
	},
		Entry("nothing but defaults", of(netsetgo.NetworkConfig{})),
		Entry("the smallest subnet", on("10.0.0.1/30")),
		Entry("the largest subnet", on("200.0.0.1/8")),
		Entry("a bridge that is the subnet's last", on("10.0.0.254/24")),
		Entry("a bridge in a subnet whose number is odd", on("192.168.1.254/24")),
		Entry("a bridge whose address ends in 255 within its subnet", on("10.0.0.255/16")),
		Entry("a container that is the subnet's last", in("192.168.1.1/24", "192.168.1.254")),
		Entry("a container whose address ends in 0 within its subnet", in("10.0.0.1/16", "10.0.1.0")),
		Entry("an MTU of 68", of(netsetgo.NetworkConfig{MTU: 68})),
		Entry("an MTU of 65535", of(netsetgo.NetworkConfig{MTU: 65535})),
		Entry("a MAC", of(netsetgo.NetworkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}})),
		Entry("an id with colons", of(netsetgo.NetworkConfig{ID: "pod:web~1"})),
		Entry("an id of another alphabet", of(netsetgo.NetworkConfig{ID: "контейнер"})),
		Entry("an id as long as is taken", of(netsetgo.NetworkConfig{ID: strings.Repeat("x", 1024)})),
		Entry("a route through the bridge", of(routed(to("192.168.0.0/16", "", 0)))),
		Entry("one destination with two metrics", of(routed(to("192.168.0.0/16", "", 1), to("192.168.0.0/16", "10.10.10.9", 1<<32-1)))),
		Entry("one default route of its own", func() netsetgo.NetworkConfig {
			config := routed(to("0.0.0.0/0", "10.10.10.9", 0))
			config.DefaultRoute = netsetgo.No
			return config
		}),
	)
})

var _ = Describe("a configuration", Label("unit"), func() {
	It("has these defaults", func() {
		config := netsetgo.NetworkConfig{}.WithDefaults()
		Expect(config.BridgeName).To(Equal("brg0"))
		Expect(config.Families()).To(HaveExactElements(netsetgo.Family{Gateway: netip.MustParsePrefix("10.10.10.1/24")}), "the next free address")
		Expect(config.Subnet.String()).To(Equal("10.10.10.0/24"))
		Expect(config.VethNamePrefix).To(Equal("veth"))
		Expect(config.ContainerInterface).To(Equal("veth1"))
		Expect(config.DefaultRoute).To(Equal(netsetgo.Yes))
		Expect(config.NAT).To(Equal(netsetgo.Yes))
		Expect(config.AllowInbound).To(Equal(netsetgo.No))
		Expect(config.Isolated).To(Equal(netsetgo.No))
		Expect(config.SpoofCheck).To(Equal(netsetgo.Yes))
		Expect(config.HasIPv6()).To(BeFalse())
		Expect(config.MTU).To(BeZero(), "that of the host")
		Expect(config.MAC).To(BeNil(), "derived from the address")
	})

	It("keeps what is given", func() {
		config := bridged("192.168.7.1/28")
		config.BridgeName, config.VethNamePrefix, config.ContainerInterface = "tower", "v", "eth0"
		config.DefaultRoute, config.NAT, config.SpoofCheck = netsetgo.No, netsetgo.No, netsetgo.No
		config.AllowInbound, config.Isolated = netsetgo.Yes, netsetgo.Yes
		Expect(config.WithDefaults()).To(Equal(config))
	})

	It("names the container's interface after the prefix", func() {
		Expect(netsetgo.NetworkConfig{VethNamePrefix: "v"}.WithDefaults().ContainerInterface).To(Equal("v1"))
	})

	DescribeTable("has these routes", func(config netsetgo.NetworkConfig, expected ...netsetgo.Route) {
		Expect(config.WithDefaults().AllRoutes()).To(HaveExactElements(expected))
	},
		Entry("by default", netsetgo.NetworkConfig{}, to("0.0.0.0/0", "10.10.10.1", 0)),
		Entry("without any", netsetgo.NetworkConfig{DefaultRoute: netsetgo.No}),
		Entry("the default route first, and the bridge as gateway",
			routed(to("192.168.0.0/16", "", 3), to("172.16.0.0/12", "10.10.10.9", 0)),
			to("0.0.0.0/0", "10.10.10.1", 0), to("192.168.0.0/16", "10.10.10.1", 3), to("172.16.0.0/12", "10.10.10.9", 0)),
	)

	It("isn't changed when its routes are asked for", func() {
		config := routed(to("192.168.0.0/16", "", 0))
		config.DefaultRoute = netsetgo.No
		config.WithDefaults().AllRoutes()
		Expect(config.Routes[0].Gateway.IsValid()).To(BeFalse())
	})

	DescribeTable("knows the last address of a subnet", func(subnet, last string) {
		Expect(netsetgo.Broadcast(netip.MustParsePrefix(subnet))).To(Equal(netip.MustParseAddr(last)))
	},
		Entry(nil, "10.10.10.1/24", "10.10.10.255"),
		Entry(nil, "10.10.11.1/24", "10.10.11.255"),
		Entry(nil, "192.168.1.0/24", "192.168.1.255"),
		Entry(nil, "10.1.0.0/16", "10.1.255.255"),
		Entry(nil, "10.0.0.4/30", "10.0.0.7"),
		Entry(nil, "10.0.0.9/29", "10.0.0.15"),
		Entry(nil, "10.0.0.0/8", "10.255.255.255"),
		Entry(nil, "11.0.0.0/8", "11.255.255.255"),
		Entry(nil, "100.0.0.0/1", "127.255.255.255"),
		Entry(nil, "255.255.255.252/30", "255.255.255.255"),
	)
})
