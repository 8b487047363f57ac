package main_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

const zero4, zero6 = "0.0.0.0", "::"

// lies are whole frames that say what isn't so.
func (f *forger) lies() []frame {
	var all []frame
	add := func(bytes []byte, format string, args ...any) {
		all = append(all, frame{fmt.Sprintf(format, args...), bytes})
	}
	macs := map[string]net.HardwareAddr{"its own": f.own, "its neighbour's": f.neighbour, "nobody's": f.stranger}
	for whose, mac := range macs {
		for _, from := range []string{v4("a1"), v4("a2"), v4("brg0"), zero4, v6("a1"), v6("a2"), v6("brg0"), "fe80::1", "fe80::bad"} {
			if whose != "its own" || from != v4("a1") && from != v6("a1") {
				add(f.datagram(mac, from, 1000, 2000), "UDP from %s, by %s MAC", from, whose)
			}
			for told, sender := range macs {
				if kindOf(from) == testnet.EtherIPv6 || whose == "its own" && told == "its own" && from == v4("a1") {
					continue
				}
				for _, op := range []uint16{1, 2} {
					add(testnet.Ether(broadcast, mac, testnet.EtherARP, testnet.Join(testnet.ARP(op, sender, from, v4("a2")), f.mark())),
						"ARP %d: %s is at %s MAC, by %s", op, from, told, whose)
				}
			}
		}
	}
	for _, from := range []string{v6("a1"), v6("a2"), v6("brg0"), "fe80::bad"} {
		for _, target := range []string{v6("a2"), v6("brg0"), "fe80::1"} {
			add(f.packet(f.own, from, testnet.ICMPv6, f.discovery(from, neighbourAdvertise, target)), "%s says where %s is", from, target)
		}
	}
	for _, from := range []string{v6("a2"), v6("brg0"), "fe80::bad", zero6} {
		add(f.packet(f.own, from, testnet.ICMPv6, f.discovery(from, neighbourAdvertise, v6("a1"))), "says where it is, as %s", from)
	}
	add(f.packet(f.stranger, v6("a1"), testnet.ICMPv6, f.discovery(v6("a1"), neighbourAdvertise, v6("a1"))), "says where it is by nobody's MAC")
	for _, target := range []string{v6("a2"), v6("brg0")} {
		add(f.packet(f.own, zero6, testnet.ICMPv6, f.discovery(zero6, neighbourSolicitation, target)), "asks whether %s is free", target)
	}
	for _, from := range []string{v6("a2"), v6("brg0"), "fe80::bad"} {
		add(f.packet(f.own, from, testnet.ICMPv6, f.discovery(from, neighbourSolicitation, v6("a1"))), "asks whether its address is free, as %s", from)
		for _, report := range []byte{131, 143} {
			add(f.packet(f.own, from, testnet.ICMPv6, testnet.ICMP6(from, "ff02::1", report, testnet.Join(make([]byte, 20), f.mark()))), "says what %s listens to, by %d", from, report)
		}
	}
	for how, disguise := range disguises(testnet.ICMPv6) {
		add(f.packet(f.own, v6("a1"), disguise.what[0], testnet.Join(disguise.bytes, f.discovery(v6("a1"), neighbourAdvertise, v6("a2")))), "says where a2 is %s", how)
	}
	for how, disguise := range disguises(testnet.UDP) {
		add(f.packet(f.own, v6("a1"), disguise.what[0], testnet.Join(disguise.bytes, testnet.Over(v6("a1"), "ff02::1", 547, 546, f.mark()))), "answers DHCPv6 %s", how)
	}
	for _, port := range []uint16{67, 547, 1067} {
		add(f.datagram(f.own, v4("a1"), port, 68), "answers DHCP from port %d", port)
		add(f.datagram(f.own, v6("a1"), port, 546), "answers DHCPv6 from port %d", port)
	}
	const more = 0x2000
	add(testnet.Piece(f.datagram(f.own, v4("a1"), 67, 68), more), "answers DHCP in a first fragment")
	for _, vlan := range []uint16{0, 5} {
		for _, kind := range []uint16{testnet.EtherVLAN, testnet.EtherVLANs} {
			add(tagged(kind, vlan, f.datagram(f.own, v4("a1"), 1, 2)), "its own address in VLAN %x %d", kind, vlan)
			add(tagged(kind, vlan, f.datagram(f.own, v4("a2"), 1, 2)), "its neighbour's address in VLAN %x %d", kind, vlan)
			add(tagged(kind, vlan, tagged(kind, vlan, f.datagram(f.own, v4("brg0"), 1, 2))), "the gateway's address in two of %x %d", kind, vlan)
			add(tagged(kind, vlan, testnet.Ether(broadcast, f.own, testnet.EtherARP, testnet.Join(testnet.ARP(2, f.own, v4("a2"), v4("a2")), f.mark()))), "ARP for its neighbour in VLAN %x %d", kind, vlan)
		}
	}
	for what, kind := range map[string]uint16{"an unknown protocol": 0x88b5, "RARP": 0x8035, "PPPoE": 0x8864, "MPLS": 0x8847, "802.1X": 0x888e, "LLDP": 0x88cc, "802.3": 40} {
		add(testnet.Ether(broadcast, f.own, kind, testnet.Join([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, f.mark(), make([]byte, 20))), "%s", what)
	}
	for what, honest := range map[string][]byte{
		"ARP":  testnet.Ether(broadcast, f.own, testnet.EtherARP, testnet.Join(testnet.ARP(1, f.own, v4("a1"), v4("a2")), f.mark())),
		"IPv4": f.datagram(f.own, v4("a1"), 1000, 2000),
		"IPv6": f.datagram(f.own, v6("a1"), 1000, 2000),
	} {
		add(testnet.Join(honest[:12], []byte{0x88, 0xb5}, honest[14:]), "%s of its own by the name of an unknown protocol", what)
	}
	return all
}

// oddities are frames that nobody should see, of which some wouldn't get far anyway.
func (f *forger) oddities() []frame {
	var all []frame
	add := func(bytes []byte, format string, args ...any) {
		all = append(all, frame{fmt.Sprintf(format, args...), bytes})
	}
	for _, from := range []string{v6("a1"), "fe80::bad", "fe80::1"} {
		for what, kind := range map[string]byte{"a router": routerAdvertisement, "a better way": redirect} {
			add(f.packet(f.own, from, testnet.ICMPv6, f.discovery(from, kind, v6("a1"))), "%s tells of %s", from, what)
			for how, disguise := range disguises(testnet.ICMPv6) {
				add(f.packet(f.own, from, disguise.what[0], testnet.Join(disguise.bytes, f.discovery(from, kind, v6("a1")))), "%s tells of %s %s", from, what, how)
			}
		}
	}
	advertisement := f.discovery(v6("a1"), neighbourAdvertise, v6("a2"))
	for _, length := range []int{0, 3, 7, 8, 20, 23} {
		add(f.packet(f.own, v6("a1"), testnet.ICMPv6, advertisement[:length]), "%d bytes of where a2 is", length)
	}
	for _, length := range []int{0, 14, 16, 27} {
		add(testnet.Ether(broadcast, f.own, testnet.EtherARP, testnet.ARP(2, f.own, v4("a2"), v4("a2"))[:length]), "%d bytes of ARP", length)
	}
	for _, from := range []string{v4("a1"), v6("a1")} {
		whole := f.datagram(f.own, from, 1, 2)
		for _, length := range []int{14, 15, 20, 33} {
			add(whole[:length], "%d bytes of IP from %s", length, from)
		}
		wrong := f.datagram(f.own, from, 547, 546)
		wrong[14] ^= 0x10
		add(wrong, "IP of another version from %s", from)
	}
	for i := range 16 {
		to := net.HardwareAddr{1, 0x80, 0xc2, 0, 0, byte(i)}
		for _, mac := range []net.HardwareAddr{f.own, f.stranger} {
			for _, from := range []string{v4("brg0"), v4("a1"), v6("brg0"), v6("a1")} {
				if i != 1 && bytes.Equal(mac, f.own) && (from == v4("a1") || from == v6("a1")) {
					continue // no lie: it goes where all frames go
				}
				add(testnet.Join(to, f.datagram(mac, from, 1, 2)[6:]), "from %s to %s", from, to)
			}
		}
	}
	return all
}

// truths are frames as honest containers send them.
func (f *forger) truths() []frame {
	var all []frame
	add := func(bytes []byte, format string, args ...any) {
		all = append(all, frame{fmt.Sprintf(format, args...), bytes})
	}
	for _, op := range []uint16{1, 2} {
		add(testnet.Ether(broadcast, f.own, testnet.EtherARP, testnet.Join(testnet.ARP(op, f.own, v4("a1"), v4("a2")), f.mark())), "ARP %d", op)
	}
	for _, from := range []string{v4("a1"), v6("a1")} {
		add(f.datagram(f.own, from, 1000, 2000), "UDP from %s", from)
		add(f.datagram(f.own, from, 68, 67), "asks a DHCP server, from %s", from)
		add(f.datagram(f.own, from, 546, 547), "asks a DHCPv6 server, from %s", from)
		for _, port := range []uint16{68, 546} {
			add(f.packet(f.own, from, testnet.TCP, testnet.Segment(from, everybody(from), [2]uint16{1000, port}, 2)), "TCP to port %d from %s", port, from)
		}
		for _, kind := range []uint16{routerAdvertisement, neighbourAdvertise, redirect} {
			add(f.datagram(f.own, from, kind<<8, 2000), "UDP from %s by a port that begins with %d", from, kind)
		}
		for _, protocol := range []byte{50, 132, 200} {
			add(f.packet(f.own, from, protocol, f.mark()), "protocol %d from %s", protocol, from)
		}
	}
	add(f.packet(f.own, v6("a1"), options, testnet.Join(padding(testnet.UDP), testnet.Over(v6("a1"), "ff02::1", 1, 2, f.mark()))), "UDP behind options")
	add(f.packet(f.own, v6("a1"), testnet.ICMPv6, f.discovery(v6("a1"), neighbourSolicitation, v6("brg0"))), "asks for the gateway")
	add(f.packet(f.own, v6("a1"), testnet.ICMPv6, f.discovery(v6("a1"), neighbourAdvertise, v6("a1"))), "says where it is")
	add(f.packet(f.own, zero6, testnet.ICMPv6, f.discovery(zero6, neighbourSolicitation, v6("a1"))), "asks whether its address is free")
	add(f.packet(f.own, v6("a1"), testnet.ICMPv6, testnet.ICMP6(v6("a1"), "ff02::1", echoRequest, f.mark())), "pings all")
	for _, report := range []byte{131, 143} { // RFC 2710 and RFC 3810, before there is an address
		add(f.packet(f.own, zero6, testnet.ICMPv6, testnet.ICMP6(zero6, "ff02::1", report, testnet.Join(make([]byte, 20), f.mark()))), "says what it listens to, by %d", report)
	}
	return all
}

const echoRequest = 128

// pieces are fragments whose first isn't there. Where the firewall sees what is bridged, the
// host waits for that one (nf_defrag_ipv4, nf_defrag_ipv6).
func (f *forger) pieces() []frame {
	var all []frame
	add := func(bytes []byte, what string) { all = append(all, frame{what, bytes}) }
	piece := f.packet(f.own, v4("a1"), testnet.UDP, testnet.Join([]byte{0, 67, 0, 68}, f.mark()))
	add(testnet.Piece(piece, 100), "a later fragment, in which something looks like DHCP's port")
	add(f.packet(f.own, v6("a1"), testnet.Fragment, testnet.Join(fragment(testnet.UDP, 10, 0), []byte{2, 35, 2, 34}, f.mark())), "the same by IPv6")
	add(f.packet(f.own, v6("a1"), testnet.Fragment, testnet.Join(fragment(testnet.ICMPv6, 10, 0), f.mark())), "a later fragment of a message")
	labelled := f.packet(f.own, v6("a1"), testnet.Fragment, testnet.Join(fragment(testnet.UDP, 10, 0), f.mark()))
	labelled[14+2], labelled[14+3] = 2, 34 // where a port would be, if a header of UDP were there
	add(labelled, "a later fragment, whose flow label looks like DHCPv6's port")
	return all
}

var _ = Describe("what a container sends", Label("root", "packets"), func() {
	var (
		w        world
		f        *forger
		a2, host *testnet.Tap
	)
	set := func(shown string, flags ...string) {
		GinkgoHelper()
		w = newWorld("a1", "a2")
		w.ShowBridged(shown)
		w.upAll([]string{"a1", "a2"}, flags...)
		f = newForger(w)
		a2, host = w.Node("a2").Tap("eth0"), w.Node("host").Tap("brg0")
	}
	// came are those of the frames that somebody got. A frame behind them all, which
	// nothing is wrong with, tells that no more will come.
	came := func(frames []frame) []string {
		GinkgoHelper()
		wire := w.Node("a1").Wire("eth0")
		for _, each := range frames {
			wire.Send(each.bytes)
		}
		w.Check("a1 -> a2 at a2 as a1\n a1 -> brg0 at host as a1")
		all := func(testnet.Packet) bool { return true }
		got := append(a2.Seen(all), host.Seen(all)...)
		var names []string
		for _, each := range frames {
			if each.arrived(got) {
				names = append(names, each.what)
			}
		}
		return names
	}
	names := func(frames []frame) []string {
		var names []string
		for _, each := range frames {
			names = append(names, each.what)
		}
		return names
	}

	DescribeTable("is from its own MAC and addresses", Label("kernels"), func(shown string) {
		set(shown)
		Expect(came(append(f.lies(), f.oddities()...))).To(BeEmpty())
		truths := f.truths()
		if shown == "0" {
			truths = append(truths, f.pieces()...)
		}
		Expect(came(truths)).To(ConsistOf(names(truths)))
		for _, node := range []string{"a2", "host"} {
			Expect(w.Node(node).Sh("ip neigh; ip -6 neigh")).NotTo(Or(
				ContainSubstring(f.stranger.String()), ContainSubstring("fe80::bad")), node)
		}
		w.Check("a2 -> brg0 at host as a2")
	}, bothWays())

	It("is what it likes with -spoofCheck=false", func() {
		set("0", "-spoofCheck=false")
		lies := append(f.lies(), f.truths()...)
		got := came(lies)
		missing := slices.DeleteFunc(names(lies), func(name string) bool { return slices.Contains(got, name) })
		Expect(missing).To(BeEmpty())
	})

	It("is checked of each container by itself", func() {
		w = newWorld("a1", "a2", "b1")
		w.up("a1", "-spoofCheck=false")
		w.up("a2")
		f = newForger(w)
		a2, host = w.Node("a2").Tap("eth0"), w.Node("host").Tap("brg0")
		Expect(came([]frame{{"a lie", f.datagram(f.own, "10.10.10.77", 1, 2)}})).To(Equal([]string{"a lie"}))
		w.down("a1")
		w.up("a1")
		Expect(came([]frame{{"a lie", f.datagram(f.own, "10.10.10.77", 1, 2)}})).To(BeEmpty())
		w.Check("a2 -> a1 at a1 as a2")
	})

	It("is from its own MAC also where ports can't be locked", Label("kernels"), func() {
		set("0")
		port, _, _ := strings.Cut(strings.Fields(w.Host.Sh("ip -oneline link show master brg0"))[1], "@")
		w.Host.Must("ip", "link", "set", port, "type", "bridge_slave", "locked", "off", "learning", "on")
		w.Host.Sh(fmt.Sprintf(`
			nft 'add element bridge netsetgo locked { "%[1]s" }'
			nft 'add element bridge netsetgo macs { "%[1]s" . %[2]s }'`, port, f.own))
		lie, truth := f.datagram(f.neighbour, v4("a2"), 1, 2), f.datagram(f.own, v4("a1"), 1, 2)
		Expect(came([]frame{{"a lie", lie}, {"the truth", truth}})).To(Equal([]string{"the truth"}))
	})

	It("is not from an address that its MAC stood for before", func() {
		w = newWorld("a1", "a2")
		w.up("a2")
		const chosen = "02:00:00:00:00:99"
		again := func(address string) {
			GinkgoHelper()
			succeeds(execute(w.Host, "-netns", "a1", "-containerInterface", "eth0", "-mac", chosen, "-containerAddress", address))
		}
		again("10.10.10.50")
		w.End("a1")
		w.Add("a1")
		again("10.10.10.60")
		a2 = w.Node("a2").Tap("eth0")
		f = &forger{}
		wire := w.Node("a1").Wire("eth0")
		lie, truth := f.datagram(testnet.MAC(chosen), "10.10.10.50", 1, 2), f.datagram(testnet.MAC(chosen), "10.10.10.60", 1, 2)
		wire.Send(lie)
		wire.Send(truth)
		all := func(testnet.Packet) bool { return true }
		Eventually(func() bool { return frame{"", truth}.arrived(a2.Seen(all)) }).Should(BeTrue())
		Expect(frame{"", lie}.arrived(a2.Seen(all))).To(BeFalse())
	})

	// The bridge lets frames to these groups by, to the stack of the host at the port
	// (br_handle_frame, net/bridge/br_input.c).
	DescribeTable("doesn't get into the host by the port", func(flags ...string) {
		set("1", flags...)
		server := w.Serve("host", "udp", mustAddrPort("192.0.2.1:5353"))
		server6 := w.Serve("host", "udp", mustAddrPort("[2001:db8:1::1]:5353"))
		wire := w.Node("a1").Wire("eth0")
		for i := range 16 {
			to := net.HardwareAddr{1, 0x80, 0xc2, 0, 0, byte(i)}
			for _, mac := range []net.HardwareAddr{f.own, f.stranger} {
				for _, from := range []string{v4("a1"), "198.51.100.77"} {
					wire.Send(testnet.Ether(to, mac, testnet.EtherIPv4, testnet.IP(from, v4("uplink"), testnet.UDP, testnet.Over(from, v4("uplink"), 99, 5353, f.mark()))))
				}
				for _, from := range []string{v6("a1"), "2001:db8:77::1"} {
					wire.Send(testnet.Ether(to, mac, testnet.EtherIPv6, testnet.IP(from, v6("uplink"), testnet.UDP, testnet.Over(from, v6("uplink"), 99, 5353, f.mark()))))
				}
				wire.Send(testnet.Ether(to, mac, testnet.EtherARP, testnet.ARP(1, mac, "10.10.10.77", v4("uplink"))))
				wire.Send(testnet.Join(to, advertisement("fe80::bad", mac.String())[6:]))
			}
		}
		w.Check("a1 -> brg0 at host as a1\n a1 -> uplink:5353 at host as a1 udp")
		if len(flags) == 0 {
			Expect(server.From(99)).To(HaveEach(netip.MustParseAddr(v4("a1"))))
			Expect(server6.From(99)).To(HaveEach(netip.MustParseAddr(v6("a1"))))
		}
		Expect(learnt(w.Node("host"))).To(BeEmpty())
		port := strings.Fields(w.Host.Sh("ip -oneline link show master brg0"))[1]
		Expect(w.Host.Must("ip", "neigh", "show", "dev", strings.Split(port, "@")[0])).To(BeEmpty())
	},
		Entry("as it is"),
		Entry("with -spoofCheck=false", "-spoofCheck=false"),
	)
})
