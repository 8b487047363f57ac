package main_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// published are flags of ports, by TCP and by UDP.
func published(ports ...string) []string {
	var flags []string
	for _, port := range ports {
		flags = append(flags, "-publish", port, "-publish", port+"/udp")
	}
	return flags
}

// client is a program on a node that goes on using one socket.
type client struct{ conn net.Conn }

func newClient(w world, node, to string) client {
	GinkgoHelper()
	var c client
	Expect(w.Node(node).In(func() (err error) {
		var dialer net.Dialer
		c.conn, err = dialer.DialContext(context.Background(), "udp", to)
		return err
	})).To(Succeed())
	DeferCleanup(c.conn.Close)
	return c
}

// answer is who answers a question, or "" where nobody does.
func (c client) answer() string {
	GinkgoHelper()
	Expect(c.conn.SetDeadline(time.Now().Add(3 * time.Second))).To(Succeed())
	if _, err := c.conn.Write([]byte("who is it?")); err != nil {
		return ""
	}
	buffer := make([]byte, 100)
	n, err := c.conn.Read(buffer)
	if err != nil {
		return ""
	}
	_, who, _ := strings.Cut(string(buffer[:n]), " by ")
	return who
}

var _ = Describe("published ports", Label("root", "packets"), func() {
	var w world
	BeforeEach(func() { w = newWorld("a1", "a2", "b1") })

	DescribeTable("lead to the container", func(shown string, more ...string) {
		w.ShowBridged(shown)
		w.up("a1", append(published("8080:80", "192.0.2.1:8081:81", "[2001:db8:1::1]:8081:81", "127.0.0.1:8082:82", "9000-9002:90"), more...)...)
		w.up("a2", more...)
		w.up("b1", more...)
		w.Check(`
			internet -> uplink:8080 at a1:80 as gateway
			lan -> uplink:8080 at a1:80 as lan
			lan -> brg0:8080 at a1:80 as lan
			lan -> uplink:8089 never at a1:80
			lan -> a1:80 never at a1:80
			lan -> a1:8080 never at a1:8080

			lan -> uplink:8081 at a1:81 as lan
			host -> uplink:8081 at a1:81
			lan -> brg0:8081 never at a1:81
			lan -> uplink:8082 never at a1:82
			lan -> uplink:9000 at a1:90 as lan
			lan -> uplink:9002 at a1:92 as lan
			lan -> uplink:9003 never at a1:93

			host -> uplink:8080 at a1:80
			host -> brg0:8080 at a1:80
			host -> side:8080 at a1:80
			host -> loopback:8080 at a1:80 as brg0
			host -> 127.9.9.9:8080 at a1:80
			host -> loopback:8082 at a1:82 as brg0
			host -> loopback:8081 never at a1:81
			host -> [::1]:8080 at host
			host -> loopback:7777 at host

			b1 -> brg1:8080 at a1:80
			b1 -> uplink:8080 at a1:80
			b1 -> brg0:8082 never at a1:82
		`)
		if strings.Contains(strings.Join(more, " "), "isolated") {
			w.Check("a2 -> a1:80 never at a1:80")
			if shown == "1" {
				return // neighbours of an isolated bridge don't get there where br_netfilter has the say
			}
		} else {
			w.Check("a2 -> a1:80 at a1:80 as a2")
		}
		w.Check(`
			a2 -> uplink:8080 at a1:80 as brg0
			a2 -> brg0:8080 at a1:80 as brg0
			a2 -> brg0:8082 never at a1:82
			a1 -> uplink:8080 at a1:80 as brg0
			a1 -> brg0:8080 at a1:80 as brg0
		`)
	},
		Entry("where the firewall sees what is bridged", Label("kernels"), "1"),
		Entry("where it doesn't", "0"),
		Entry("without NAT", "1", "-nat=false"),
		Entry("without NAT, where the firewall doesn't see what is bridged", "0", "-nat=false"),
		Entry("of an isolated bridge", "1", "-isolated"),
		Entry("of an isolated bridge, where the firewall doesn't see what is bridged", "0", "-isolated"),
		Entry("of a bridge that is open for others", "1", "-allowInbound=false"),
	)

	It("are those of the host, and of nobody beyond it", func() {
		w.up("a1", published("8080:80")...)
		w.up("a2")
		w.Check(`
			host -> internet:8080 at internet:8080 as uplink
			a2 -> internet:8080 at internet:8080 as uplink
			lan -> uplink:8080 at a1:80 as lan
		`)
	})

	It("are reached from another bridge by the container's own address with -nat=false", func() {
		w.up("a1", append(published("8080:80"), "-nat=false")...)
		w.up("b1", "-nat=false")
		w.Check("b1 -> uplink:8080 at a1:80 as b1")
	})

	It("lead there by SCTP as well", Label("kernels"), func() {
		w.up("a1", "-publish", "8080:80/sctp")
		wire, tap := w.Node("lan").Wire("eth0"), w.Node("a1").Tap("eth0")
		host, own := testnet.MAC(w.mac("host", "eth0")), testnet.MAC(w.mac("lan", "eth0"))
		for _, port := range []uint16{8080, 8081} {
			wire.Send(testnet.Ether(host, own, testnet.EtherIPv4, testnet.IP(v4("lan"), v4("uplink"), testnet.SCTP, testnet.InitSCTP(5000, port))))
			wire.Send(testnet.Ether(host, own, testnet.EtherIPv6, testnet.IP(v6("lan"), v6("uplink"), testnet.SCTP, testnet.InitSCTP(5000, port))))
		}
		seen := func() []string {
			var all []string
			for _, p := range tap.Seen(func(p testnet.Packet) bool { return p.Protocol == testnet.SCTP }) {
				all = append(all, fmt.Sprintf("%s > %s:%d", p.From, p.To, p.ToPort))
			}
			return all
		}
		wanted := []string{"192.0.2.10 > 10.10.10.2:80", "2001:db8:1::10 > fd10::2:80"}
		Eventually(seen).Should(ConsistOf(wanted))
		w.Check("lan -> a1 never at a1")
		Expect(seen()).To(ConsistOf(wanted))
	})

	It("leave alone what is sent to the host's link-local addresses", func() {
		w.up("a1", published("8080:80")...)
		w.Serve("host", "tcp6", mustAddrPort("[::]:8080"))
		w.Host.Must("ip", "address", "add", "fe80:1::1/64", "dev", "eth0", "nodad")
		w.Nodes["lan"].Must("ip", "address", "add", "fe80:1::2/64", "dev", "eth0", "nodad")
		zone := links(w.Node("lan"))["eth0"].Index
		Expect(soon(w.Node("lan"), fmt.Sprintf("[fe80:1::1%%%d]:8080", zone))).To(BeNumerically(">", 0))
		for _, prefix := range links(w.Node("host"))["eth0"].prefixes() {
			if own, ok := strings.CutSuffix(prefix, "/64"); ok && strings.HasPrefix(own, "fe80::") {
				Expect(soon(w.Node("lan"), fmt.Sprintf("[%s%%%d]:8080", own, zone))).To(BeNumerically(">", 0))
				return
			}
		}
		Fail("the host has none")
	})

	It("are the holder's, who is named to others", func() {
		w.up("a1", append(published("8080:80", "192.0.2.1:9090:90"), "-id", "web")...)
		before := w.Host.State()
		for _, port := range []string{"8080:81", "8000-8100:80", "127.0.0.1:8080:80", "9090:90/udp", "192.0.2.1:9090:80", "[2001:db8:1::1]:8080:80"} {
			Expect(fails(w.run("a2", "-publish", port), 1)).To(And(ContainSubstring(`"web"`), ContainSubstring("publishing port "+strings.Split(port, "/")[0])), port)
			Expect(testnet.Changes(before, w.Host.State())).To(BeEmpty(), port)
		}
		w.up("a2", published("8081:80", "172.16.5.1:9090:90")...)
		w.Check(`
			lan -> uplink:8080 at a1:80
			lan -> uplink:8081 at a2:80
			lan -> uplink:9090 at a1:90 4
			other -> side:9090 never at a1:90
			host -> 172.16.5.1:9090 at a2:90
		`)
		w.down("a1")
		w.up("b1", published("8080:80")...)
		w.Check("lan -> uplink:8080 at b1:80")
	})

	DescribeTable("are refused that a program of the host listens on, which is named", func(protocol, listens, asked string) {
		w.Serve("host", protocol, mustAddrPort(listens))
		before := w.Host.State()
		name, err := os.ReadFile("/proc/self/comm")
		Expect(err).NotTo(HaveOccurred())
		Expect(fails(w.run("a1", "-publish", asked), 1)).To(ContainSubstring(
			"publishing port %s: program %q, pid %d, listens on %s; ", asked, strings.TrimSpace(string(name)), os.Getpid(), listens))
		Expect(testnet.Changes(before, w.Host.State())).To(BeEmpty())
		w.StopServers("host")
		w.up("a1", "-publish", asked)
	},
		Entry("of all addresses", "tcp", "0.0.0.0:8080", "8080:80/tcp"),
		Entry("of one", "tcp", "192.0.2.1:8080", "0.0.0.0:8080:80/tcp"),
		Entry("of IPv6", "tcp", "[2001:db8:1::1]:8080", "8080:80/tcp"),
		Entry("by UDP", "udp", "127.0.0.1:8080", "8080:80/udp"),
	)

	It("aren't taken from a container by programs that come later", func() {
		w.up("a1", published("8080:80")...)
		w.Serve("host", "tcp", mustAddrPort("0.0.0.0:8080"))
		w.up("a1", published("8080:80")...)
		w.Check("lan -> uplink:8080 at a1:80")
	})

	DescribeTable("of a container that was killed never lead to another", func(sameAddress bool) {
		w.up("a1", published("8080:80", "192.0.2.1:8081:81")...)
		w.up("a2")
		w.Check("lan -> uplink:8080 at a1:80")
		w.End("a1")
		w.Add("a1")
		if sameAddress {
			w.up("a1")
			w.Check(`
				lan -> uplink:8080 never at a1:80
				lan -> uplink:8081 never at a1:81
				host -> loopback:8080 never at a1:80
				a2 -> brg0:8080 never at a1:80
				a1 -> internet at internet as uplink
			`)
		}
		w.up("b1", published("8080:80", "8081:81")...)
		w.Check(`
			lan -> uplink:8080 at b1:80
			lan -> uplink:8081 at b1:81
			host -> loopback:8080 at b1:80
		`)
	},
		Entry("that has its address", true),
		Entry("that has its port", false),
	)

	It("of one address that a container which was killed had never lead there", func() {
		w.up("a1", "-publish", "192.0.2.1:8081:81")
		w.up("a2")
		w.End("a1")
		w.up("b1", published("8081:81")...)
		w.Check("lan -> uplink:8081 at b1:81 as lan")
	})

	DescribeTable("are their container's also where its bridge isn't reached", func(damage, mend string) {
		w.up("a1", published("8080:80")...)
		w.Host.Sh(damage)
		w.down("b2") // which sweeps
		Expect(fails(w.run("b1", "-publish", "8080:81"), 1)).To(ContainSubstring("host link veth0"))
		w.Host.Sh(mend)
		w.Check("lan -> uplink:8080 at a1:80 as lan 4") // a bridge that was down has lost its IPv6 address
	},
		Entry("because that is down", "ip link set brg0 down", "ip link set brg0 up; ip link show brg0"),
		Entry("because of a route", "ip route add 10.10.10.0/28 dev eth1; ip route add fd10::/96 dev eth1", "ip route delete 10.10.10.0/28; ip route delete fd10::/96"),
	)

	// A flow of UDP goes on for as long as anybody sends: the kernel has to be told that it
	// leads elsewhere now.
	DescribeTable("by UDP take along those who go on sending", func(from, to string) {
		address := netip.MustParseAddrPort(to)
		w.Serve("host", "udp", address)
		w.up("b1")
		serve := func(name string) {
			GinkgoHelper()
			for _, own := range testnet.Addresses(name) {
				w.Serve(name, "udp", netip.AddrPortFrom(netip.MustParseAddr(own), 80))
			}
		}
		c := newClient(w, from, to)
		for _, name := range []string{"a1", "a2"} {
			Expect(c.answer()).To(Equal("host"))
			w.StopServers("host")
			w.up(name, published("8080:80")...)
			serve(name)
			Expect(c.answer()).To(Equal(name))
			w.down(name)
			w.Serve("host", "udp", address)
		}
		Expect(c.answer()).To(Equal("host"))
	},
		Entry("from outside", "lan", "192.0.2.1:8080"),
		Entry("from outside, by IPv6", "lan", "[2001:db8:1::1]:8080"),
		Entry("from the host", "host", "127.0.0.1:8080"),
		Entry("from the host, by IPv6", "host", "[2001:db8:1::1]:8080"),
		Entry("from another container", "b1", "192.0.2.1:8080"),
	)

	DescribeTable("by UDP leave a container that was killed", func(next, answers string, ports []string) {
		serve := func(name string) {
			GinkgoHelper()
			w.Serve(name, "udp4", netip.AddrPortFrom(netip.MustParseAddr(v4(name)), 80))
		}
		w.up("a1", published("8080:80")...)
		w.Serve("host", "udp", netip.MustParseAddrPort("192.0.2.1:8080"))
		serve("a1")
		c := newClient(w, "lan", "192.0.2.1:8080")
		Expect(c.answer()).To(Equal("a1"))
		w.End("a1")
		w.Add("a1")
		if ports != nil {
			w.StopServers("host")
		}
		w.up(next, ports...)
		serve(next)
		Expect(c.answer()).To(Equal(answers))
	},
		Entry("for another that has its port", "a2", "a2", published("8080:80")),
		Entry("for another that has its address and port", "a1", "a1", published("8080:80")),
		Entry("and never lead to another that has its address alone", "a1", "host", nil),
	)

	// Packets from 127.0.0.1 may leave by the bridge now; none may come in by it.
	DescribeTable("open nothing else of the host's loopback", func(more ...string) {
		w.up("a1", append(published("8080:80"), more...)...)
		inner := w.Serve("host", "udp", mustAddrPort("127.0.0.1:7000"))
		open := w.Serve("host", "udp", mustAddrPort("0.0.0.0:7002"))
		gateway, own := testnet.MAC(w.mac("host", "brg0")), testnet.MAC(w.mac("a1", "eth0"))
		wires := map[string]testnet.Wire{"a1": w.Node("a1").Wire("eth0"), "lan": w.Node("lan").Wire("eth0")}
		fromPort := uint16(99)
		send := func(from, to string, port uint16) {
			payload := testnet.IP(from, to, testnet.UDP, testnet.Over(from, to, fromPort, port, []byte("in")))
			wires["a1"].Send(testnet.Ether(gateway, own, testnet.EtherIPv4, payload))
			wires["lan"].Send(testnet.Ether(testnet.MAC(w.mac("host", "eth0")), testnet.MAC(w.mac("lan", "eth0")), testnet.EtherIPv4, payload))
		}
		for _, from := range []string{v4("a1"), "127.0.0.1", "127.8.8.8"} {
			send(from, "127.0.0.1", 7000)
			send(from, "127.255.255.254", 7002)
		}
		for _, to := range []string{v4("brg0"), v4("uplink")} {
			send("127.0.0.1", to, 7002)
			send("127.8.8.8", to, 7002)
		}
		fromPort = 98
		send(v4("a1"), v4("brg0"), 7002)
		w.Nodes["a1"].Sh(`for i in all eth0; do echo 1 >/proc/sys/net/ipv4/conf/$i/route_localnet; done
			ip route delete table local local 127.0.0.0/8 dev lo
			ip route delete table local local 127.0.0.1 dev lo
			ip route add 127.0.0.0/8 via 10.10.10.1 src 10.10.10.2`)
		w.Check(`
			a1 -> 127.0.0.1:7000 never at host
			a1 -> 127.0.0.1:8080 never at a1:80
			host -> 127.0.0.1:7000 at host
			host -> 127.0.0.1:8080 at a1:80 as brg0
		`)
		Expect(inner.From(99)).To(BeEmpty())
		Expect(open.From(99)).To(BeEmpty())
		Expect(open.From(98)).To(ContainElement(netip.MustParseAddr(v4("a1"))), "what isn't wrong in any way")
	},
		Entry("as it is"),
		Entry("with -spoofCheck=false", "-spoofCheck=false"),
	)
})
