package main_test

import (
	"bytes"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// route is a line for each family of `ip route` in a node: to one by way of another.
func route(w world, node, verb, to, by string) {
	GinkgoHelper()
	for i := range 2 {
		w.Node(node).Must("ip", "route", verb, testnet.Addresses(to)[i], "via", testnet.Addresses(by)[i])
	}
}

// byTheHost has two neighbours reach each other by the host, and not by its bridge alone.
func byTheHost(w world) {
	GinkgoHelper()
	for one, other := range map[string]string{"a1": "a2", "a2": "a1"} {
		w.Node(one).Sh("for i in all eth0; do echo 0 >/proc/sys/net/ipv4/conf/$i/accept_redirects; echo 0 >/proc/sys/net/ipv6/conf/$i/accept_redirects; done")
		route(w, one, "replace", other, "brg0")
	}
}

// bridgeOfOthers connects two containers by a bridge that isn't netsetgo's, br9.
func bridgeOfOthers(w world) {
	GinkgoHelper()
	w.Host.Sh(`
		ip link add br9 type bridge
		ip link set br9 up
		for n in a2 b1; do
			ip link add x-$n master br9 up type veth peer name eth9 netns $n
			ip -n $n link set eth9 up
			ip link show x-$n
		done
		ip -n a2 address add 10.99.0.1/24 dev eth9
		ip -n b1 address add 10.99.0.2/24 dev eth9
		ip link show br9`)
}

var _ = Describe("what is closed", Label("root", "packets"), func() {
	var w world
	everybody := []string{"a1", "a2", "b1"}
	BeforeEach(func() {
		w = newWorld(everybody...)
		w.Nodes["internet"].Sh("ip route add 10.10.0.0/16 via 192.0.2.1; ip route add fd10::/64 via 2001:db8:1::1")
	})

	DescribeTable("is closed to all but neighbours and the host", func(shown string) {
		w.ShowBridged(shown)
		w.upAll(everybody)
		w.Check(`
			lan -> a1 never at a1
			lan -> b1 never at b1
			internet -> a1 never at a1
			other -> a1 never at a1
			a1 -> b1 never at b1
			b1 -> a1 never at a1
			a1 -> a2 at a2 as a1
			host -> a1 at a1 as brg0
			a1 -> lan at lan as uplink
		`)
	}, bothWays())

	It("is closed as well where others open the way through the host", func() {
		w.Sysctl("net/ipv4/ip_forward", "1")
		w.Sysctl("net/ipv6/conf/all/forwarding", "1")
		w.upAll(everybody)
		w.Check(`
			lan -> a1 never at a1
			other -> a1 never at a1
			a1 -> b1 never at b1
			a1 -> other at other as side
			lan -> other at other as lan 4
		`)
	})

	It("leaves the router of IPv6 alone that the host was", func() {
		w.Sysctl("net/ipv6/conf/all/forwarding", "1")
		w.Check("lan -> other at other as lan 6")
		w.upAll(everybody)
		w.Check("lan -> other at other as lan 6")
	})

	It("is open with -allowInbound, of that bridge alone", func() {
		w.up("a1")
		w.up("b1", "-allowInbound")
		w.Check(`
			lan -> b1 at b1 as lan
			a1 -> b1 at b1 as brg1
			b1 -> a1 never at a1
			lan -> a1 never at a1
			b1 -> internet at internet as uplink
		`)
	})

	It("makes the host a router for nobody else", Label("kernels"), func() {
		w.Check("lan -> other never at other")
		w.upAll(everybody)
		w.Check(`
			lan -> other never at other
			lan -> internet never at internet
			other -> lan never at lan
			other -> internet never at internet
			lan -> side at host as lan
			other -> side at host as other
		`)
	})

	DescribeTable("keeps neighbours from each other with -isolated, and from nobody else", func(shown string) {
		w.ShowBridged(shown)
		w.upAll([]string{"a1", "a2"}, "-isolated")
		others := `
			a1 -> a2 never at a2
			a2 -> a1 never at a1
			a1 -> brg0 at host as a1
			host -> a1 at a1 as brg0
			a1 -> internet at internet as uplink
			lan -> a1 never at a1
		`
		tap, own := w.Node("a2").Tap("eth0"), testnet.MAC(w.mac("a1", "eth0"))
		w.Check(others)
		byTheHost(w)
		w.Check(others)
		Expect(tap.Seen(func(p testnet.Packet) bool { return bytes.Equal(p.Frame[6:12], own) })).To(BeEmpty(), "not even ARP")
	}, bothWays())

	It("keeps them from each other where the bridge is open, too", func() {
		w.upAll([]string{"a1", "a2"}, "-isolated", "-allowInbound")
		byTheHost(w)
		w.Check(`
			a1 -> a2 never at a2
			a2 -> a1 never at a1
			lan -> a1 at a1 as lan
		`)
	})

	It("lets neighbours reach each other by the host too, if they like", func() {
		w.upAll(everybody)
		byTheHost(w)
		w.Check("a1 -> a2 at a2 as a1")
		route(w, "a2", "delete", "a1", "brg0") // one way by the host, the other not
		w.Check("a1 -> a2 at a2 as a1")
	})

	It("lets nobody through a host that forwards IPv6 for all links or none", Label("kernels"), func() {
		w.up("a1")
		if testnet.ForwardsByLink() { // else it had to
			w.Sysctl("net/ipv6/conf/all/forwarding", "1")
			w.Check("other -> lan at lan as other 6")
			w.Host.Sh("nft add element inet netsetgo routers '{ ipv6 }'")
		}
		w.Check(`
			other -> lan never at lan 6
			a1 -> internet at internet as uplink 6
		`)
	})

	It("leaves what passes through a bridge that is the uplink", Label("kernels"), func() {
		bridgeOfOthers(w)
		w.Host.Sh(`
			ip -n a2 address add 2001:db8:99::1/64 dev eth9 nodad
			ip -n b1 address add 2001:db8:99::2/64 dev eth9 nodad
			ip address add 10.99.0.3/24 dev br9
			ip address add 2001:db8:99::3/64 dev br9 nodad
			ip route replace default via 10.99.0.1
			ip -6 route replace default via 2001:db8:99::1`)
		w.ShowBridged("1")
		w.up("a1")
		Expect(w.Nodes["a2"].Pings("10.99.0.2")).To(BeTrue())
		Expect(w.Nodes["a2"].Pings("2001:db8:99::2")).To(BeTrue())
	})

	It("leaves bridges of others alone", func() {
		w.up("a1")
		bridgeOfOthers(w)
		if !testnet.ForwardsByLink() {
			w.up("a2") // of IPv6, those that were there at an up
		}
		Expect(w.Nodes["a2"].Pings("10.99.0.2")).To(BeTrue())
		own := testnet.MAC(links(w.Node("a2"))["eth9"].MAC)
		wire, tap := w.Node("a2").Wire("eth9"), w.Node("b1").Tap("eth9")
		f := &forger{own: own}
		all := func(testnet.Packet) bool { return true }
		for _, kind := range []byte{routerAdvertisement, redirect} {
			told := f.packet(own, "fe80::1", testnet.ICMPv6, f.discovery("fe80::1", kind, v6("b1")))
			wire.Send(told)
			Eventually(func() bool { return frame{"", told}.arrived(tap.Seen(all)) }).Should(BeTrue(), "of kind %d", kind)
		}
	})

	It("doesn't keep containers from hearing that there is no way", func() {
		w.up("a1")
		w.Nodes["internet"].Sh(`
			echo 1 >/proc/sys/net/ipv4/conf/eth0/forwarding
			echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
			ip route add unreachable 203.0.113.0/24
			ip route add unreachable 2001:db8:dead::/48`)
		for _, address := range []string{"203.0.113.1", "2001:db8:dead::1"} {
			Expect(w.Nodes["a1"].Run("ping", "-c1", "-W2", address).Stdout).To(MatchRegexp("(?i)unreachable"), address)
		}
	})

	It("lets no more than replies in, not even on the ports of a connection that was", func() {
		w.upAll(everybody)
		w.Check("a1 -> internet at internet as uplink")
		wire := w.Node("lan").Wire("eth0")
		tap := w.Node("a1").Tap("eth0")
		host, own := testnet.MAC(w.mac("host", "eth0")), testnet.MAC(w.mac("lan", "eth0"))
		for i, from := range testnet.Addresses("lan") {
			to := testnet.Addresses("a1")[i]
			kind := []uint16{testnet.EtherIPv4, testnet.EtherIPv6}[i]
			const syn, rst, ack = 2, 4, 16
			for _, bits := range []byte{ack, syn | ack, rst, 0} {
				wire.Send(testnet.Ether(host, own, kind, testnet.IP(from, to, testnet.TCP, testnet.Segment(from, to, [2]uint16{80, 7000}, bits))))
			}
		}
		w.Check("a1 -> lan at lan as uplink")
		Expect(tap.Seen(func(p testnet.Packet) bool {
			return p.Protocol == testnet.TCP && p.FromPort == 80 && p.ToPort == 7000
		})).To(BeEmpty())
	})
})

// advertisement is a message of a router (RFC 4861 section 4.2), with a prefix of its own to
// make addresses and routes of, and a way to another network (RFC 4191).
func advertisement(from string, mac string) []byte {
	body := testnet.Join(
		[]byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0},
		[]byte{3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 1, 0x51, 0x80, 0, 0, 0, 0},
		[]byte{0x20, 1, 0xd, 0xb8, 0xb, 0xad, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		[]byte{1, 1}, testnet.MAC(mac),
	)
	return testnet.Ether(testnet.MAC("33:33:00:00:00:01"), testnet.MAC(mac), testnet.EtherIPv6,
		testnet.IP(from, "ff02::1", testnet.ICMPv6, testnet.ICMP6(from, "ff02::1", 134, body)))
}

// learnt are what a node was told by router advertisements.
func learnt(node *testnet.Process) string {
	GinkgoHelper()
	var found []string
	for line := range strings.Lines(node.Sh("ip -6 -oneline route show table all; ip -6 -oneline address")) {
		if strings.Contains(line, "proto ra") || strings.Contains(line, "2001:db8:bad:") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

var _ = Describe("a router that a container plays", Label("root", "packets"), func() {
	var w world
	BeforeEach(func() { w = newWorld("a1", "a2", "b1") })

	// play has a container play a router, in all ways it can.
	play := func(name string) {
		GinkgoHelper()
		own := w.mac(name, "eth0")
		wire := w.Node(name).Wire("eth0")
		for _, from := range []string{"fe80::bad", "fe80::1", v6(name)} {
			wire.Send(advertisement(from, own))
			hidden := advertisement(from, own)
			// Behind a header of options (RFC 8200 section 4.3), with one that is padding.
			options := testnet.Join([]byte{testnet.ICMPv6, 0, 5, 2, 0, 0, 1, 0}, hidden[54:])
			wire.Send(testnet.Ether(hidden[:6], hidden[6:12], testnet.EtherIPv6, testnet.IP(from, "ff02::1", 0, options)))
		}
	}
	isAdvertisement := func(p testnet.Packet) bool {
		return strings.Contains(string(p.Frame), "\x20\x01\x0d\xb8\x0b\xad")
	}

	DescribeTable("is believed by nobody", func(families string, shown string, more ...string) {
		w.ShowBridged(shown)
		for _, name := range []string{"a1", "a2", "b1"} {
			if families == "both" {
				w.up(name, more...)
				continue
			}
			succeeds(execute(w.Host, append([]string{
				"-netns", name, "-containerInterface", "eth0", "-bridgeName", "brg" + fmt.Sprint(strings.Index("ab", name[:1])),
				"-bridgeAddress", v4("brg"+fmt.Sprint(strings.Index("ab", name[:1]))) + "/24", "-containerAddress", v4(name),
			}, more...)...))
		}
		a2, b1 := w.Node("a2").Tap(""), w.Node("b1").Tap("")
		host := w.Node("host").Tap("brg0")
		play("a1")
		w.Check("a1 -> a2 at a2 as a1 4") // behind it
		Expect(a2.Seen(isAdvertisement)).To(BeEmpty())
		Expect(b1.Seen(isAdvertisement)).To(BeEmpty())
		if len(more) == 0 {
			Expect(host.Seen(isAdvertisement)).To(BeEmpty())
		}
		for _, name := range []string{"host", "a2", "b1"} {
			Expect(learnt(w.Node(name))).To(BeEmpty(), name)
		}
	},
		Entry("of both families", Label("kernels"), "both", "1"),
		Entry("of both families, bridged past the firewall", "both", "0"),
		Entry("of IPv4 alone", "IPv4", "1"),
		Entry("not even with -spoofCheck=false", "both", "1", "-spoofCheck=false"),
		Entry("not even with -spoofCheck=false, of IPv4 alone", "IPv4", "0", "-spoofCheck=false"),
	)

	DescribeTable("isn't followed to a better way by containers, also one on the bridge that isn't netsetgo's", func(more ...string) {
		w.up("a1", more...)
		w.Host.Sh(`
			ip link add f0 master brg0 up type veth peer name eth9 netns b1
			ip -n b1 link set eth9 up
			for link in f0 brg0; do ip link show $link; done`)
		foreign := testnet.MAC(links(w.Node("b1"))["eth9"].MAC)
		wire, tap := w.Node("b1").Wire("eth9"), w.Node("a1").Tap("eth0")
		f := &forger{own: foreign}
		all := func(testnet.Packet) bool { return true }
		arrives := func(bytes []byte) func() bool {
			return func() bool { return frame{"", bytes}.arrived(tap.Seen(all)) }
		}
		for range 2 {
			lie := f.packet(foreign, "fe80::bad", testnet.ICMPv6, f.discovery("fe80::bad", redirect, v6("a1")))
			truth := f.datagram(foreign, "10.10.10.77", 1, 2)
			Eventually(func() bool { wire.Send(truth); return arrives(truth)() }).Should(BeTrue())
			wire.Send(lie)
			behind := f.datagram(foreign, "10.10.10.77", 1, 2)
			wire.Send(behind)
			Eventually(arrives(behind)).Should(BeTrue())
			Expect(arrives(lie)()).To(BeFalse())
		}
	},
		Entry("as it is"),
		Entry("with -spoofCheck=false", "-spoofCheck=false"),
	)

	It("would be believed where a host listens to routers", func() {
		w.up("a1")
		own := w.mac("lan", "eth0")
		w.Node("lan").Wire("eth0").Send(advertisement("fe80::bad", own))
		Eventually(func() string { return learnt(w.Node("host")) }).Should(ContainSubstring("default via fe80::bad dev eth0"))
	})
})
