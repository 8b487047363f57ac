package netsetgo_test

import (
	"net"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

// published is a configuration with ports, in both families.
func published(ports ...netsetgo.Publish) func() netsetgo.NetworkConfig {
	return func() netsetgo.NetworkConfig {
		config := both("10.0.0.1/24", "fd00::1/64")()
		config.Publish = ports
		return config
	}
}

// onePort is a port of an address of the host, "" for all.
func onePort(address string, number int, protocol string) netsetgo.Publish {
	p := netsetgo.Publish{HostPort: number, ContainerPort: 80, Protocol: protocol}
	if address != "" {
		p.HostIP = netip.MustParseAddr(address)
	}
	return p
}

func portRange(first, count int) netsetgo.Publish {
	return netsetgo.Publish{HostPort: first, ContainerPort: 1, Count: count}
}

var _ = Describe("a port to be published", Label("unit"), func() {
	DescribeTable("is refused", func(config func() netsetgo.NetworkConfig, text string) {
		err := config().Validate()
		Expect(err).To(MatchError(netsetgo.ErrInvalid))
		Expect(err).To(MatchError(ContainSubstring(text)))
	},
		Entry("of another protocol", published(onePort("", 80, "icmp")), "publish 80:80/icmp: use tcp, udp or sctp"),
		Entry("of a protocol in capitals", published(onePort("", 80, "TCP")), "use tcp, udp or sctp"),
		Entry("0", published(onePort("", 0, "")), "a port is between 1 and 65535"),
		Entry("below 0", published(onePort("", -1, "")), "a port is between 1 and 65535"),
		Entry("too high", published(onePort("", 65536, "")), "a port is between 1 and 65535"),
		Entry("0 of the container", published(netsetgo.Publish{HostPort: 80}), "a port is between 1 and 65535"),
		Entry("too high of the container", published(netsetgo.Publish{HostPort: 80, ContainerPort: 65536}), "a port is between 1 and 65535"),
		Entry("in a range that ends too high", published(portRange(65535, 2)), "a port is between 1 and 65535"),
		Entry("in a range that ends too high in the container", published(netsetgo.Publish{HostPort: 80, ContainerPort: 65535, Count: 2}), "a port is between"),
		Entry("in a range below 0", published(portRange(80, -1)), "a range has 1 to 1024 ports"),
		Entry("in a range that is too long", published(portRange(80, 1025)), "a range has 1 to 1024 ports"),
		Entry("of ::1", published(onePort("::1", 80, "")), "::1 isn't an address by which ports can be published"),
		Entry("of a group", published(onePort("224.0.0.1", 80, "")), "224.0.0.1 isn't an address"),
		Entry("of a group of IPv6", published(onePort("ff02::1", 80, "")), "ff02::1 isn't an address"),
		Entry("of an address with a zone", published(onePort("fe80::1%eth0", 80, "")), "isn't an address"),
		Entry("of an address of IPv4 in IPv6", published(onePort("::ffff:10.0.0.1", 80, "")), "isn't an address"),
		Entry("of a family that the container hasn't", of(netsetgo.NetworkConfig{Publish: []netsetgo.Publish{onePort("::", 80, "")}}),
			"publish [::]:80:80/tcp: the container has no address of that family"),
		Entry("of IPv4 for a container of IPv6", func() netsetgo.NetworkConfig {
			config := bridged6("fd00::1/64")
			config.Publish = []netsetgo.Publish{onePort("127.0.0.1", 80, "")}
			return config
		}, "the container has no address of that family"),
		Entry("twice", published(onePort("", 80, ""), onePort("", 80, "tcp")), "publish 80:80/tcp: 80:80/tcp has a port in common"),
		Entry("twice, of all and of one address", published(onePort("", 80, ""), onePort("10.9.9.9", 80, "")), "has a port in common"),
		Entry("twice, of one and of all addresses of a family", published(onePort("fd00::9", 80, ""), onePort("::", 80, "")), "has a port in common"),
		Entry("twice, at the end of a range", published(portRange(80, 3), onePort("", 82, "")), "has a port in common"),
		Entry("twice, within a range", published(onePort("", 81, ""), portRange(80, 3)), "has a port in common"),
	)

	DescribeTable("is accepted", func(config func() netsetgo.NetworkConfig) {
		Expect(config().Validate()).To(Succeed())
	},
		Entry("the lowest", published(onePort("", 1, ""))),
		Entry("the highest", published(netsetgo.Publish{HostPort: 65535, ContainerPort: 65535})),
		Entry("in the longest range", published(portRange(64512, 1024))),
		Entry("of each protocol", published(onePort("", 80, "tcp"), onePort("", 80, "udp"), onePort("", 80, "sctp"))),
		Entry("of each family", published(onePort("0.0.0.0", 80, ""), onePort("::", 80, ""))),
		Entry("of each address", published(onePort("10.9.9.9", 80, ""), onePort("10.9.9.8", 80, ""), onePort("127.0.0.1", 80, ""), onePort("fd00::9", 80, ""))),
		Entry("one beside a range", published(portRange(80, 3), onePort("", 83, ""), onePort("", 79, ""))),
		Entry("of all addresses for a container of one family", of(netsetgo.NetworkConfig{Publish: []netsetgo.Publish{onePort("", 80, "")}})),
	)

	DescribeTable("is written as the flag has it", func(p netsetgo.Publish, text string) {
		Expect(p.String()).To(Equal(text))
	},
		Entry(nil, onePort("", 8080, ""), "8080:80/tcp"),
		Entry(nil, onePort("", 53, "udp"), "53:80/udp"),
		Entry(nil, onePort("0.0.0.0", 53, "udp"), "0.0.0.0:53:80/udp"),
		Entry(nil, onePort("192.0.2.9", 53, "sctp"), "192.0.2.9:53:80/sctp"),
		Entry(nil, onePort("2001:db8::9", 53, ""), "[2001:db8::9]:53:80/tcp"),
		Entry(nil, portRange(8080, 3), "8080-8082:1/tcp"),
		Entry(nil, portRange(8080, 1), "8080:1/tcp"),
	)
})

// bridged6 is a configuration with a bridge address of IPv6 alone.
func bridged6(address string) netsetgo.NetworkConfig {
	GinkgoHelper()
	ip, subnet, err := net.ParseCIDR(address)
	Expect(err).NotTo(HaveOccurred())
	return netsetgo.NetworkConfig{BridgeIP6: ip, Subnet6: subnet}
}

// both is a configuration with one of each family.
func both(address, address6 string) func() netsetgo.NetworkConfig {
	return func() netsetgo.NetworkConfig {
		config, six := bridged(address), bridged6(address6)
		config.BridgeIP6, config.Subnet6 = six.BridgeIP6, six.Subnet6
		return config
	}
}
