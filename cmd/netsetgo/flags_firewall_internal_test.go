package main

import (
	"math/rand"
	"net"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

var _ = Describe("the flags of the firewall", Label("unit"), func() {
	DescribeTable("ask for one thing each", func(expected netsetgo.NetworkConfig, args ...string) {
		Expect(configured(args...)).To(Equal(expected))
	},
		Entry("-nat", netsetgo.NetworkConfig{NAT: netsetgo.Yes}, "-nat"),
		Entry("-nat=false", netsetgo.NetworkConfig{NAT: netsetgo.No}, "-nat=false"),
		Entry("-allowInbound", netsetgo.NetworkConfig{AllowInbound: netsetgo.Yes}, "-allowInbound"),
		Entry("-allowInbound=false", netsetgo.NetworkConfig{AllowInbound: netsetgo.No}, "-allowInbound=false"),
		Entry("-isolated", netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, "-isolated"),
		Entry("-isolated=0", netsetgo.NetworkConfig{Isolated: netsetgo.No}, "-isolated=0"),
		Entry("-spoofCheck", netsetgo.NetworkConfig{SpoofCheck: netsetgo.Yes}, "-spoofCheck"),
		Entry("-spoofCheck=false", netsetgo.NetworkConfig{SpoofCheck: netsetgo.No}, "--spoofCheck=false"),
		Entry("-publish", netsetgo.NetworkConfig{Publish: []netsetgo.Publish{{HostPort: 80, ContainerPort: 8080}}}, "-publish", "80:8080"),
		Entry("-nat twice: the last one counts", netsetgo.NetworkConfig{NAT: netsetgo.No}, "-nat", "-nat=false"),
		Entry("-isolated twice", netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, "-isolated=false", "-isolated=true"),
	)

	It("stand for what README says where none is given", func() {
		config := must(configured()).WithDefaults()
		Expect([]netsetgo.Choice{config.NAT, config.AllowInbound, config.Isolated, config.SpoofCheck}).To(Equal(
			[]netsetgo.Choice{netsetgo.Yes, netsetgo.No, netsetgo.No, netsetgo.Yes}))
		Expect(config.Publish).To(BeEmpty())
	})

	It("mean the same in any order, but for what may be repeated", func() {
		line := []string{
			"-nat=false", "-allowInbound", "-isolated", "-spoofCheck=false", "-publish=80:80", "-pid=7", "-id=web",
			"-bridgeAddress=10.20.0.1/24,fd10::1/64", "-containerAddress=fd10::7,10.20.0.7/24",
		}
		expected := must(configured(line...))
		random := rand.New(rand.NewSource(GinkgoRandomSeed()))
		for range 20 {
			random.Shuffle(len(line), func(i, j int) { line[i], line[j] = line[j], line[i] })
			Expect(configured(line...)).To(Equal(expected), "%v", line)
		}
	})

	DescribeTable("are refused with a value that is neither", func(text string, args ...string) {
		end := finish("", append([]string{"-pid", "7"}, args...)...)
		Expect(end.code).To(Equal(2))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(Equal("netsetgo: " + text + "; see netsetgo -h\n"))
	},
		Entry("-nat", `invalid boolean value "no" for -nat: use true or false`, "-nat=no"),
		Entry("-allowInbound", `invalid boolean value "" for -allowInbound: use true or false`, "-allowInbound="),
		Entry("-isolated", `unexpected argument "false": a verb comes first, and flags have a dash, as in -defaultRoute=false`, "-isolated", "false"),
		Entry("-spoofCheck", `invalid boolean value "-1" for -spoofCheck: use true or false`, "-spoofCheck=-1"),
		Entry("-publish", "flag needs an argument: -publish", "-publish"),
		Entry("-publish, empty", `invalid value "" for flag -publish: `+publishForm, "-publish="),
	)

	It("are a group of their own, in this order, behind those of the link", func() {
		Expect(groups).To(Equal([]string{"target", "addresses", "link", "firewall", "output"}))
		for _, name := range []string{"up", "check"} {
			_, sections := helpOf(name)
			at := slices.IndexFunc(sections, func(section section) bool { return section.group == "firewall" })
			Expect(sections[at-1].group).To(Equal("link"))
			Expect(sections[at].lines).To(Equal([]string{
				"  -nat[=false]", "        let the bridge's containers reach others by the host's addresses (default true)",
				"  -allowInbound", "        let others open connections to the bridge's containers (default false)",
				"  -isolated", "        keep the bridge's containers from each other (default false)",
				"  -spoofCheck[=false]", "        let the container send from its own MAC and addresses only (default true)",
				"  -publish [IP:]PORT[-LAST]:PORT[/PROTOCOL]",
				"        let a port of the host lead to one of the container; may be repeated; PROTOCOL is tcp, udp or sctp (default none)",
			}))
		}
		text, _ := helpOf("down")
		Expect(text).NotTo(ContainSubstring("firewall"), "down finds what there is")
	})

	It("are in the manual, as one group", func() {
		_, text, found := strings.Cut(chapters(printedManual())["FLAGS"], ".SS Firewall\n")
		Expect(found).To(BeTrue())
		text, _, _ = strings.Cut(text, ".SS ")
		for _, name := range []string{"nat", "allowInbound", "isolated", "spoofCheck", "publish"} {
			Expect(text).To(ContainSubstring(".BI \"\\-" + name + " \""))
		}
	})

	DescribeTable("are completed", func(expected []string, words ...string) {
		Expect(completed(scriptFile(), nil, words...)).To(ConsistOf(expected))
	},
		Entry("-nat", []string{"-nat"}, "-na"),
		Entry("-allowInbound", []string{"-allowInbound"}, "check", "-al"),
		Entry("-isolated", []string{"-isolated"}, "up", "-is"),
		Entry("-spoofCheck", []string{"-spoofCheck"}, "-s"),
		Entry("-publish", []string{"-publish"}, "-pu"),
		Entry("no value of -publish", []string{}, "-publish", ""),
		Entry("a flag behind the switches", []string{"-publish"}, "-nat", "-isolated", "-pu"),
		Entry("a flag behind ports", []string{"-publish"}, "-publish", "80:80", "-pub"),
		Entry("none of them for down", []string{}, "down", "-na"),
	)
})

var _ = Describe("addresses of two families", Label("unit"), func() {
	config := func(addresses ...string) netsetgo.NetworkConfig {
		GinkgoHelper()
		var c netsetgo.NetworkConfig
		for _, each := range addresses {
			ip, subnet := cidr(each)
			if ip.To4() == nil {
				c.BridgeIP6, c.Subnet6 = ip, subnet
			} else {
				c.BridgeIP, c.Subnet = ip, subnet
			}
		}
		return c
	}

	DescribeTable("of the bridge are read", func(text string, addresses ...string) {
		c := must(configured("-bridgeAddress", text))
		Expect(c).To(Equal(config(addresses...)))
		Expect(c.Validate()).To(Succeed())
	},
		Entry("both", "10.20.0.1/24,fd10::1/64", "10.20.0.1/24", "fd10::1/64"),
		Entry("in the other order", "fd10::1/64,10.20.0.1/24", "10.20.0.1/24", "fd10::1/64"),
		Entry("IPv6 alone", "2001:db8::ff/120", "2001:db8::ff/120"),
		Entry("IPv6 in another spelling", "FD10:0:0::0001/64", "fd10::1/64"),
	)

	DescribeTable("of the container are read", func(ip, ip6 string, args ...string) {
		c := must(configured(args...))
		Expect([]net.IP{c.ContainerIP, c.ContainerIP6}).To(Equal([]net.IP{net.ParseIP(ip), net.ParseIP(ip6)}))
		Expect(c.Validate()).To(Succeed())
	},
		Entry("both", "10.20.0.7", "fd10::7", "-containerAddress", "10.20.0.7,fd10::7", "-bridgeAddress", "10.20.0.1/24,fd10::1/64"),
		Entry("in the other order, with prefixes", "10.20.0.7", "fd10::7",
			"-bridgeAddress", "10.20.0.1/24,fd10::1/64", "-containerAddress", "fd10::7/64,10.20.0.7/24"),
		Entry("one of two: the other is leased", "", "fd10::7", "-bridgeAddress", "10.20.0.1/24,fd10::1/64", "-containerAddress", "fd10::7"),
		Entry("the other of two", "10.20.0.7", "", "-bridgeAddress", "10.20.0.1/24,fd10::1/64", "-containerAddress", "10.20.0.7"),
		Entry("IPv6 alone", "", "fd10::7", "-bridgeAddress", "fd10::1/64", "-containerAddress", "fd10::7/64"),
	)

	DescribeTable("are refused", func(says string, args ...string) {
		end := finish("", append([]string{"-pid", "7"}, args...)...)
		Expect(end.code).To(Equal(2))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(Equal("netsetgo: " + says + "; see netsetgo -h\n"))
	},
		Entry("two of IPv6", `-bridgeAddress "fd10::1/64,fd11::1/64" names two addresses of one family`, "-bridgeAddress", "fd10::1/64,fd11::1/64"),
		Entry("three", `-bridgeAddress "10.0.0.1/24,fd10::1/64,10.0.1.1/24" names two addresses of one family`, "-bridgeAddress", "10.0.0.1/24,fd10::1/64,10.0.1.1/24"),
		Entry("a comma too many", `-bridgeAddress "10.0.0.1/24," isn't an address with its prefix, such as 10.10.10.1/24, or one of each family with a comma between`,
			"-bridgeAddress", "10.0.0.1/24,"),
		Entry("a space", `-bridgeAddress "10.0.0.1/24, fd10::1/64" isn't an address with its prefix, such as 10.10.10.1/24, or one of each family with a comma between`,
			"-bridgeAddress", "10.0.0.1/24, fd10::1/64"),
		Entry("two of the container's IPv4", `-containerAddress "10.10.10.2,10.10.10.3" names two addresses of one family`, "-containerAddress", "10.10.10.2,10.10.10.3"),
		Entry("another prefix of the second", `-containerAddress "10.10.10.2,fd10::2/48" hasn't the prefix of the bridge, /64`,
			"-containerAddress", "10.10.10.2,fd10::2/48", "-bridgeAddress", "10.10.10.1/24,fd10::1/64"),
		Entry("a zone", `-containerAddress "fe80::7%eth0" isn't an address, such as 10.10.10.2, or one of each family with a comma between`, "-containerAddress", "fe80::7%eth0"),
		Entry("IPv6 of a bridge without", "invalid network configuration: container address: the bridge has no address of its family: give that too, or leave this out",
			"-containerAddress", "10.10.10.2,fd10::2"),
		Entry("IPv4 of a bridge without", "invalid network configuration: container address: the bridge has no address of its family: give that too, or leave this out",
			"-containerAddress", "10.10.10.2", "-bridgeAddress", "fd10::1/64"),
		Entry("a link-local one", "invalid network configuration: bridge address fe80::1/64 isn't an address that a device can have for others to reach",
			"-bridgeAddress", "10.10.10.1/24,fe80::1/64"),
		Entry("a subnet too narrow", "invalid network configuration: bridge address fd10::1/127: the prefix must be between /16 and /126", "-bridgeAddress", "fd10::1/127"),
		Entry("the router anycast address", "invalid network configuration: bridge address fd10:: is the network's own address in fd10::/64: choose another", "-bridgeAddress", "fd10::/64"),
		Entry("the bridge's own for the container", "invalid network configuration: container address fd10::1 is the bridge's own, the gateway: choose another",
			"-bridgeAddress", "fd10::1/64", "-containerAddress", "fd10::1"),
		Entry("one of another subnet", "invalid network configuration: container address fd11::2 isn't in the bridge's subnet fd10::/64: choose one of that, or another bridge address",
			"-bridgeAddress", "10.10.10.1/24,fd10::1/64", "-containerAddress", "fd11::2"),
		Entry("an MTU too small", "invalid network configuration: mtu 1279: IPv6 takes 1280 at least", "-mtu", "1279", "-bridgeAddress", "10.10.10.1/24,fd10::1/64"),
		Entry("a route of a family without", "invalid network configuration: route 2001:db8::/32: the bridge has no address of its family: give that too, or leave this out",
			"-route", "2001:db8::/32"),
	)
})
