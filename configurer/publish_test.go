package configurer_test

import (
	"net"
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
)

// by is a port of one address of the host.
func by(address string, p netsetgo.Publish) netsetgo.Publish {
	p.HostIP = netip.MustParseAddr(address)
	return p
}

// ports is a range of them.
func ports(first, count int) netsetgo.Publish {
	return netsetgo.Publish{HostPort: first, ContainerPort: 80, Count: count}
}

// flows are the lines that make the kernel forget any.
func (w *world) flows() []string {
	var found []string
	for _, line := range w.log {
		if strings.HasPrefix(line, "conntrack ") {
			found = append(found, strings.TrimPrefix(line, "conntrack -D -f "))
		}
	}
	return found
}

var _ = Describe("a published port", Label("unit"), func() {
	plain := func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{} }

	DescribeTable("leads to the container by each of its addresses that it can", func(config func() netsetgo.NetworkConfig, port netsetgo.Publish, elements ...string) {
		w := newWorld(1)
		Expect(w.netset().Up(publishing(config(), port), firstPid)).To(Succeed())
		rules := w.host().rules.String()
		for _, element := range elements {
			Expect(rules).To(ContainSubstring("   " + element + "\n"))
		}
		Expect(strings.Count(rules, "ports")).To(Equal(len(elements)), rules)
		Expect(w.netset().Inspect(config(), firstPid)).To(HaveField("Publish", ConsistOf(port.WithDefaults())))
	},
		Entry("of IPv4", plain, port(8080, ""), "ports4 { tcp . 8080 : 10.10.10.2 . 80 }"),
		Entry("of IPv6", only6, port(8080, "sctp"), "ports6 { sctp . 8080 : fd10::2 . 80 }"),
		Entry("of both", dual, port(8080, "udp"), "ports4 { udp . 8080 : 10.10.10.2 . 80 }", "ports6 { udp . 8080 : fd10::2 . 80 }"),
		Entry("of the host's family", dual, by("0.0.0.0", port(8080, "")), "ports4 { tcp . 8080 : 10.10.10.2 . 80 }"),
		Entry("of the host's other family", dual, by("::", port(8080, "")), "ports6 { tcp . 8080 : fd10::2 . 80 }"),
		Entry("of the host's one address", dual, by("192.0.2.9", port(8080, "")), "addressports4 { 192.0.2.9 . tcp . 8080 : 10.10.10.2 . 80 }"),
		Entry("of the host's one address of IPv6", dual, by("2001:db8::9", port(8080, "")), "addressports6 { 2001:db8::9 . tcp . 8080 : fd10::2 . 80 }"),
		Entry("each of a range", plain, ports(8080, 2), "ports4 { tcp . 8080 : 10.10.10.2 . 80, tcp . 8081 : 10.10.10.2 . 81 }"),
	)

	DescribeTable("that somebody has is refused, its holder is named, and all is as before", func(theirs, asked netsetgo.Publish, says string) {
		w := newWorld(2)
		first := publishing(dual(), theirs)
		first.ID = "web"
		Expect(w.netset().Up(first, firstPid+1)).To(Succeed())
		before := w.String()
		err := w.netset().Up(publishing(dual(), asked), firstPid)
		Expect(err).To(MatchError(And(
			ContainSubstring("publishing port "+asked.String()+": "+says), ContainSubstring("choose another port, or take that one down first"))))
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	},
		Entry("the same", port(8080, "tcp"), port(8080, "tcp"), `container "web" holds it, by host link veth0;`),
		Entry("leading elsewhere", port(8080, "tcp"), netsetgo.Publish{HostPort: 8080, ContainerPort: 81}, `container "web", by host link veth0, has it, for 10.10.10.2;`),
		Entry("in a range", ports(8079, 3), port(8080, "tcp"), `container "web", by host link veth0, has it`),
		Entry("at the end of a range", port(8082, "tcp"), ports(8080, 3), `container "web", by host link veth0, has it`),
		Entry("of one address", by("192.0.2.9", port(8080, "tcp")), by("192.0.2.9", ports(8080, 2)), `container "web", by host link veth0, has it`),
		Entry("of all addresses, asked for of one", port(8080, "tcp"), by("192.0.2.9", port(8080, "tcp")), `container "web", by host link veth0, has it`),
		Entry("of one address, asked for of all", by("192.0.2.9", port(8080, "tcp")), port(8080, "tcp"), `container "web", by host link veth0, has it`),
		Entry("of one address, asked for of all in a range", by("2001:db8::9", port(8082, "tcp")), ports(8080, 3), `container "web", by host link veth0, has it, for fd10::2;`),
		Entry("of one family, asked for of both", by("::", port(8080, "tcp")), port(8080, "tcp"), `container "web", by host link veth0, has it, for fd10::2;`),
	)

	DescribeTable("is waited for while who has it looks alive still, though it is ending", func(theirs, asked netsetgo.Publish) {
		w := newWorld(2)
		Expect(w.netset().Up(publishing(dual(), theirs), firstPid+1)).To(Succeed())
		looks := 0
		w.onCall = func(_ int, doing string) (bool, error) {
			if strings.HasPrefix(doing, "elements ports4") {
				if looks++; looks == 3 {
					w.end(w.container(2))
				}
			}
			return true, nil
		}
		Expect(w.netset().Up(publishing(dual(), asked), firstPid)).To(Succeed())
		Expect(looks).To(BeNumerically(">", 3))
		w.expectNothingOpen()
		Expect(w.host().rules.String()).NotTo(ContainSubstring("10.10.10.2 "))
	},
		Entry("leading elsewhere", port(8080, "tcp"), netsetgo.Publish{HostPort: 8080, ContainerPort: 81}),
		Entry("of one address, asked for of all", by("192.0.2.9", port(8080, "tcp")), port(8080, "tcp")),
	)

	DescribeTable("may be had by several", func(theirs, asked netsetgo.Publish) {
		w := newWorld(2)
		Expect(w.netset().Up(publishing(dual(), theirs), firstPid+1)).To(Succeed())
		Expect(w.netset().Up(publishing(dual(), asked), firstPid)).To(Succeed())
	},
		Entry("of several protocols", port(53, "tcp"), port(53, "udp")),
		Entry("of several addresses", by("192.0.2.9", port(53, "tcp")), by("192.0.2.10", port(53, "tcp"))),
		Entry("of several families", by("0.0.0.0", port(53, "tcp")), by("::", port(53, "tcp"))),
		Entry("of several families, one of one address", by("192.0.2.9", port(53, "tcp")), by("::", port(53, "tcp"))),
		Entry("side by side", ports(8080, 2), ports(8082, 2)),
	)

	It("is asked for before those of higher numbers, whatever their order, so that of two runs that cross one gets all", func() {
		w := newWorld(1)
		Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, port(82, "udp"), port(81, ""), port(80, "tcp")), firstPid)).To(Succeed())
		var order []string
		for _, line := range w.log {
			if rest, ok := strings.CutPrefix(line, "nft add element ports4 { "); ok {
				order = append(order, strings.SplitN(rest, " :", 2)[0])
			}
		}
		Expect(order).To(Equal([]string{"tcp . 80", "tcp . 81", "udp . 82"}))
	})

	It("may be taken by another run just then", func() {
		w := newWorld(2)
		Expect(w.netset().Up(dual(), firstPid+1)).To(Succeed())
		before := w.String()
		w.at("nft add element ports4", func() error {
			w.onCall = nil
			w.host().rules.elementsOf("ports4", publishedTo("10.10.10.2", port(8080, "tcp")))
			return nil
		})
		Expect(w.netset().Up(publishing(dual(), port(8080, "tcp")), firstPid)).To(MatchError(
			ContainSubstring(`interface "veth1" in network namespace 4026532002, by host link veth0, has it, for 10.10.10.2`)))
		w.host().rules.elementsOf("ports4", nil)
		Expect(w.String()).To(Equal(before))
	})

	Describe("that somebody has", func() {
		asked := netsetgo.Publish{HostPort: 8080, ContainerPort: 81}
		const web = "tcp . 8080 : 10.10.10.2 . 80"
		var w *world
		// beginning is how a run for c1 begins that asks for it, too.
		beginning := func(ends func() error) error {
			w = newWorld(2)
			Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, port(8080, "tcp")), firstPid+1)).To(Succeed())
			w.at("nft add element ports4", ends)
			err := w.netset().Up(publishing(netsetgo.NetworkConfig{}, asked), firstPid)
			Expect(w.host().rules.String()).To(ContainSubstring(web))
			return err
		}

		It("stays theirs when a run doesn't learn that", func() {
			Expect(beginning(func() error { return configurer.ErrUnknown })).To(MatchError(configurer.ErrUnknown))
			w.expectNothingOpen()
		})

		DescribeTable("stays theirs when what a run left is cleared away that was killed", func(next func() error) {
			func() {
				defer func() { Expect(recover()).To(Equal(killed{})) }()
				_ = beginning(func() error { panic(killed{}) })
			}()
			clear(w.locks)
			w.onCall, w.conns, w.pinned = nil, nil, nil
			Expect(next()).To(Succeed())
			Expect(w.host().rules.String()).To(ContainSubstring(web))
			Expect(w.host().named("veth1")).To(BeNil())
		},
			Entry("by down", func() error { return w.netset().Down(netsetgo.NetworkConfig{}, firstPid) }),
			Entry("by up", func() error {
				Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, asked), firstPid)).To(MatchError(ContainSubstring("by host link veth0, has it")))
				return nil
			}),
		)
	})

	It("goes with the container", func() {
		w := busyHost()
		before := w.String()
		config := publishing(dual(), port(81, "tcp"), by("192.0.2.9", ports(82, 3)), port(83, "udp"))
		Expect(w.netset().Up(config, firstPid+2)).To(Succeed())
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid+2)).To(Succeed())
		w.host().named("brg0").Alias = "netsetgo next=10.10.10.3 number=1 policy=closed,nat was=2/forwarding:0,2/force_forwarding:0"
		w.container(3).links[0].Up, w.container(3).links[0].addresses = false, nil // lo stays up
		Expect(w.String()).To(Equal(before))
	})

	DescribeTable("lets the host's 127.0.0.1 in, where it is of that", func(port netsetgo.Publish, is bool) {
		w := newWorld(1)
		Expect(w.netset().Up(publishing(dual(), port), firstPid)).To(Succeed())
		Expect(w.host().named("brg0").Settings.RouteLocalnet).To(Equal(is))
	},
		Entry("of all", port(80, "tcp"), true),
		Entry("of all of IPv4", by("0.0.0.0", port(80, "tcp")), true),
		Entry("of 127.0.0.1", by("127.0.0.1", port(80, "tcp")), true),
		Entry("of another", by("192.0.2.9", port(80, "tcp")), false),
		Entry("of IPv6", by("::", port(80, "tcp")), false),
	)

	// failing is a run for c1 that fails, beside c2.
	failing := func(w *world) {
		GinkgoHelper()
		w.at("ip link property add dev veth1 altname netsetgo:n:", func() error { return errBroken })
		Expect(w.netset().Up(publishing(dual(), port(80, "tcp")), firstPid)).To(MatchError(errBroken))
	}

	It("of a run that fails lets 127.0.0.1 in no more", func() {
		w := newWorld(2)
		Expect(w.netset().Up(dual(), firstPid+1)).To(Succeed())
		failing(w)
		Expect(w.host().named("brg0").Settings.RouteLocalnet).To(BeFalse())
	})

	It("of a run that fails lets 127.0.0.1 in, where others have one", func() {
		w := newWorld(2)
		Expect(w.netset().Up(publishing(dual(), port(81, "tcp")), firstPid+1)).To(Succeed())
		failing(w)
		Expect(w.host().named("brg0").Settings.RouteLocalnet).To(BeTrue())

		w = newWorld(2)
		Expect(w.netset().Up(dual(), firstPid+1)).To(Succeed())
		w.at("ip -n c1 link set veth1 up", func() error {
			other := w.host().named("veth0")
			other.Altnames = append(other.Altnames, "netsetgo:p:692d:tcp:99:99:*")
			return nil
		})
		failing(w)
		Expect(w.host().named("brg0").Settings.RouteLocalnet).To(BeTrue())
	})
})

var _ = Describe("flows to published ports", Label("unit"), func() {
	udp := []netsetgo.Publish{port(53, "udp"), {HostPort: 90, ContainerPort: 90, Count: 2, Protocol: "udp"}, port(80, "tcp"), by("::", port(54, "udp"))}
	all := []string{
		"ipv4 -p udp --dport 53", "ipv6 -p udp --dport 53",
		"ipv4 -p udp --dport 90", "ipv4 -p udp --dport 91", "ipv6 -p udp --dport 90", "ipv6 -p udp --dport 91",
		"ipv6 -p udp --dport 54",
	}

	It("of UDP are forgotten when one is published, and when it goes", func() {
		w := newWorld(1)
		Expect(w.netset().Up(publishing(dual(), udp...), firstPid)).To(Succeed())
		Expect(w.flows()).To(ConsistOf(all))
		w.log = nil
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.flows()).To(ConsistOf(all))
	})

	It("of UDP are forgotten when the rules were gone meanwhile, and when the container's went with it", func() {
		w := newWorld(2)
		Expect(w.netset().Up(publishing(dual(), udp...), firstPid)).To(Succeed())
		w.host().rules, w.log = ruleset{}, nil
		Expect(w.netset().Up(dual(), firstPid+1)).To(Succeed())
		Expect(w.flows()).To(ConsistOf(all))
		w.end(w.container(1))
		w.end(w.container(2))
		w.log = nil
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, 0)).To(Succeed())
		Expect(w.flows()).To(ConsistOf(all))
	})

	It("of UDP are forgotten when the next run mends what a down had begun with that was killed", func() {
		w := newWorld(1)
		Expect(w.netset().Up(publishing(dual(), udp...), firstPid)).To(Succeed())
		for _, set := range firewall.PortMaps() {
			w.host().rules[set.Family].sets[set.Name] = []firewall.Element{}
		}
		w.log = nil
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.flows()).To(ConsistOf(all))
	})

	It("of UDP are forgotten when a run fails that had published one", func() {
		w := newWorld(1)
		w.at("ip link property add dev veth0 altname netsetgo:n:", func() error { w.log = nil; return errBroken })
		Expect(w.netset().Up(publishing(dual(), udp...), firstPid)).To(MatchError(errBroken))
		Expect(w.flows()).To(ConsistOf(all))
	})

	It("aren't looked for without such a port", func() {
		w := newWorld(1)
		config := publishing(dual(), port(80, "tcp"))
		config.ContainerIP = net.IPv4(10, 10, 10, 9)
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.netset().Down(config, firstPid)).To(Succeed())
		Expect(w.flows()).To(BeEmpty())
	})
})
