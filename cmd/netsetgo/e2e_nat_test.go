package main_test

import (
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// strays are packets that conntrack knows nothing of, and that NAT leaves as they are: the
// beginnings of frames to the gateway, in both families.
func strays(w world) {
	GinkgoHelper()
	wire := w.Node("a1").Wire("eth0")
	gateway, own := testnet.MAC(w.mac("host", "brg0")), testnet.MAC(w.mac("a1", "eth0"))
	for i, from := range testnet.Addresses("a1") {
		to := testnet.Addresses("internet")[i]
		kind := []uint16{testnet.EtherIPv4, testnet.EtherIPv6}[i]
		send := func(protocol byte, payload []byte) {
			wire.Send(testnet.Ether(gateway, own, kind, testnet.IP(from, to, protocol, payload)))
		}
		const fin, syn, rst, ack = 1, 2, 4, 16
		for _, bits := range []byte{syn | rst, rst, ack, syn | ack, fin, 0} {
			send(testnet.TCP, testnet.Segment(from, to, [2]uint16{5001, 80}, bits))
		}
		send(testnet.UDP, []byte{0, 5, 0, 5, 0, 99, 0, 0, 'x'}) // longer than it is
		send(testnet.UDP, []byte{0, 5})
		send(200, []byte("a protocol of nobody's"))
		send(47, []byte{0, 0, 8, 0, 'g', 'r', 'e', '.'})
		send(59, nil)
		if i == 0 {
			bounced := testnet.IP(to, from, testnet.UDP, []byte("12345678"))
			send(testnet.ICMP, testnet.ICMP4(3, testnet.Join([]byte{0, 0, 0, 0}, bounced)))
			send(testnet.ICMP, testnet.ICMP4(0, []byte("answers nobody asked for")))
			continue
		}
		bounced := testnet.IP(to, from, testnet.UDP, []byte("12345678"))
		send(testnet.ICMPv6, testnet.ICMP6(from, to, 1, testnet.Join([]byte{0, 0, 0, 0}, bounced)))
		for _, kind := range []byte{129, 130, 133, 135, 136, 143} { // the last of them are untracked
			send(testnet.ICMPv6, testnet.ICMP6(from, to, kind, make([]byte, 20)))
		}
	}
}

// sysctls are those lines of changes that are sysctls of a family, and not of links that
// come and go.
func sysctls(changes string) []string {
	const coming = `conf|neigh)/(brg|veth)`
	var found []string
	for line := range strings.Lines(changes) {
		if strings.Contains(line, "sysctl ") && !regexp.MustCompile(`/(`+coming).MatchString(line) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	slices.Sort(found)
	return found
}

var _ = Describe("the way out", Label("root", "packets"), func() {
	var w world
	BeforeEach(func() { w = newWorld("a1", "a2", "b1") })

	DescribeTable("is by the host's address, and nothing leaves by another", func(shown string) {
		w.ShowBridged(shown)
		internet, lan := w.Node("internet").Tap("eth0"), w.Node("lan").Tap("eth0")
		w.upAll([]string{"a1", "a2", "b1"})
		strays(w) // before all else: the host asks for its neighbours now
		w.Check(`
			a1 -> internet at internet as uplink
			b1 -> internet at internet as uplink
			a1 -> lan at lan as uplink
			a1 -> a2 at a2 as a1
			a1 -> brg0 at host as a1
			a1 -> uplink at host as a1
			host -> a1 at a1 as brg0
			host -> internet at internet as uplink
		`)
		strays(w)
		w.Check("a1 -> internet at internet as uplink") // behind what was sent before
		Expect(leaks(internet)).To(BeEmpty())
		Expect(leaks(lan)).To(BeEmpty())
	}, bothWays())

	It("is by the container's own address with -nat=false, and only of that bridge", func() {
		w.Nodes["internet"].Sh("ip route add 10.10.0.0/16 via 192.0.2.1; ip route add fd10::/64 via 2001:db8:1::1")
		w.up("a1", "-nat=false")
		w.up("a2")
		w.up("b1")
		w.Check(`
			a1 -> internet at internet as a1
			a2 -> internet at internet as a2
			a1 -> lan at lan as a1
			b1 -> internet at internet as uplink
			internet -> a1 never at a1
			lan -> a1 never at a1
		`)
	})

	It("takes no more than forwarding by the bridge and the uplink, which the last down puts back", Label("kernels"), func() {
		before := w.Host.State()
		w.up("a1")
		changed := []string{"ipv4/conf/eth0/forwarding", "ipv6/conf/eth0/force_forwarding"}
		if !testnet.ForwardsByLink() {
			changed = []string{"ipv4/conf/eth0/forwarding"}
			for _, link := range []string{"all", "default", "eth0", "eth1", "lo"} {
				changed = append(changed, "ipv6/conf/"+link+"/forwarding")
			}
		}
		var wanted []string
		for _, key := range changed {
			wanted = append(wanted, "+sysctl net/"+key+" = 1", "-sysctl net/"+key+" = 0")
		}
		if !testnet.ForwardsByLink() {
			wanted = append(wanted, "+sysctl net/ipv6/conf/eth0/accept_ra = 2", "-sysctl net/ipv6/conf/eth0/accept_ra = 1")
		}
		Expect(sysctls(testnet.Changes(before, w.Host.State()))).To(ConsistOf(wanted))
		w.up("a2", "-publish", "8080:80")
		w.up("b1", "-publish", "8080:80/udp")
		w.down("a1")
		w.down("a2")
		w.Check("b1 -> internet at internet as uplink")
		w.down("b1")
		w.isAsBefore(before)
	})

	It("stays open where somebody makes the host a router meanwhile", func() {
		w.up("a1")
		w.Sysctl("net/ipv4/ip_forward", "1")
		w.down("a1")
		w.Check("lan -> other at other as lan tcp4")
	})

	It("is no router for bridges only where somebody made the host one for all, from the next run on", func() {
		w.up("a1")
		w.Sysctl("net/ipv4/ip_forward", "1")
		w.Check("lan -> other never at other")
		w.up("a1")
		w.Check(`
			lan -> other at other as lan tcp4
			lan -> a1 never at a1
			a1 -> internet at internet as uplink
		`)
	})

	It("closes though the bridge, which remembers how it was, was deleted by hand", func() {
		w.Sysctl("net/ipv6/conf/eth0/accept_ra", "2") // what that was is told by the bridge alone
		before := w.Host.State()
		w.up("a1")
		w.Host.Sh("ip link delete brg0")
		w.down("a1")
		w.isAsBefore(before)
	})

	It("leaves open what was open before", func() {
		w.Sysctl("net/ipv4/conf/eth0/forwarding", "1")
		w.Sysctl("net/ipv4/conf/eth1/forwarding", "1")
		if testnet.ForwardsByLink() {
			w.Sysctl("net/ipv6/conf/eth0/force_forwarding", "1")
			w.Sysctl("net/ipv6/conf/eth1/force_forwarding", "1")
		} else {
			w.Sysctl("net/ipv6/conf/all/forwarding", "1")
		}
		before := w.Host.State()
		w.Check("lan -> other at other as lan")
		w.upAll([]string{"a1", "b1"})
		w.Check(`
			lan -> other at other as lan
			other -> lan at lan as other
			a1 -> other at other as side
			lan -> a1 never at a1
			other -> a1 never at a1
		`)
		w.down("b1")
		w.down("a1")
		w.isAsBefore(before)
		w.Check("lan -> other at other as lan")
	})

	It("closes behind containers that are killed, at the next down", func() {
		before := w.Host.State()
		w.up("a1", "-publish", "8080:80")
		w.up("b1", "-publish", "8080:80/udp")
		w.End("a1")
		w.End("b1")
		Eventually(func() string { return w.Host.Sh("ip -oneline link show type veth | grep -c veth || true") }).
			Should(Equal("0\n"))
		succeeds(execute(w.Host, "down", "-id", "nobody"))
		w.isAsBefore(before)
	})
})
