package kernel_test

import (
	"fmt"
	"strings"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("reading the links of a kind", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("finds those of that kind, and no others", func() {
		conn := connect(nil)
		Expect(conn.Links("veth")).To(BeEmpty())
		sh(`ip link add name b1 type bridge
			ip link add name b2 type bridge
			ip link add p1 type veth peer name p2
			ip link set p1 master b1`)
		Expect(names(conn.Links("bridge"))).To(ConsistOf("b1", "b2"))
		Expect(names(conn.Links("veth"))).To(ConsistOf("p1", "p2"))
	})

	It("tells of each what Link tells", func() {
		container := newNamespace()
		conn := connect(nil)
		bridge := addBridge(conn, "b")
		do(conn, configurer.SetAlias{Link: bridge, Alias: "a note"})
		addPair(conn, bridge, "host", container, "eth0")
		do(conn, configurer.AddAltname{Link: link(conn, "host").Index, Name: "netsetgo:a:a2c4:b:10.0.0.2"})
		Expect(conn.Links("bridge")).To(ConsistOf(link(conn, "b")))
		Expect(conn.Links("veth")).To(ConsistOf(link(conn, "host")))
		Expect(conn.Ports(bridge)).To(ConsistOf(link(conn, "host")))
	})
})

var _ = Describe("reading the other end of a pair", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("finds it in the same namespace", func() {
		conn := connect(nil)
		sh("ip link add p1 type veth peer name p2")
		Expect(link(conn, "p1").PeerNamespace).To(Equal(configurer.SameNamespace))
		Expect(conn.Peer(link(conn, "p1"))).To(Equal(link(conn, "p2")))
		Expect(conn.Peer(link(conn, "p2"))).To(Equal(link(conn, "p1")))
	})

	It("finds it in another namespace, and not what has its index here", func() {
		container, other := newNamespace(), newNamespace()
		conn, inside := connect(nil), connect(container)
		bridge := addBridge(conn, "b")
		addPair(conn, bridge, "first", other, "eth0")
		host, peer := addPair(conn, bridge, "host", container, "eth0")
		in(container, "ip address add 10.0.0.2/24 dev eth0; ip link property add dev eth0 altname another; ip link set dev eth0 alias text up")
		Expect(link(conn, "b").Index).To(Equal(peer), "or the spec shows nothing")

		found, err := conn.Peer(link(conn, "host"))
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(And(
			HaveField("Index", peer), HaveField("Name", "eth0"), HaveField("Kind", "veth"), HaveField("Up", true),
			HaveField("MTU", 1400), HaveField("MAC", mac("02:00:00:00:00:03")), HaveField("Alias", "text"),
			HaveField("Altnames", ConsistOf("another")), HaveField("Peer", host),
		))
		Expect(found.Name).To(Equal(link(inside, "eth0").Name))
	})

	It("is ErrNotFound where it is gone, or its namespace", func() {
		container := newNamespace()
		conn := connect(nil)
		addPair(conn, addBridge(conn, "b"), "host", container, "eth0")
		before := link(conn, "host")
		for what, change := range map[string]func(*configurer.Link){
			"an index that nobody has, there":    func(link *configurer.Link) { link.Peer = 999 },
			"an index that nobody has, here":     func(link *configurer.Link) { link.Peer, link.PeerNamespace = 999, configurer.SameNamespace },
			"a number that no namespace has":     func(link *configurer.Link) { link.PeerNamespace = 777 },
			"a number that isn't of a namespace": func(link *configurer.Link) { link.PeerNamespace = configurer.NoNamespace },
		} {
			gone := before
			change(&gone)
			Expect(second(conn.Peer(gone))).To(MatchErrorStrictly(configurer.ErrNotFound), what)
		}

		do(conn, configurer.DeleteLink{Link: before.Index})
		Expect(second(conn.Peer(before))).To(MatchErrorStrictly(configurer.ErrNotFound), "the pair is gone")
		Expect(container.Close()).To(Succeed())
		Eventually(func() (bool, error) { return conn.NamespaceLives(before.PeerNamespace) }).Should(BeFalse())
		Expect(second(conn.Peer(before))).To(MatchErrorStrictly(configurer.ErrNotFound), "and so is its namespace")
	})

	It("is an error, and no more than that, where a container gave it more names than an answer holds", func() {
		container := newNamespace()
		conn, inside := connect(nil), connect(container)
		host, _ := addPair(conn, addBridge(conn, "b"), "host", container, "eth0")
		// As many as the kernel takes: 64 KiB of them, which is what one attribute holds.
		in(container, `for i in $(seq 100 800); do echo "link property add dev eth0 altname %s$i"; done | ip -force -batch - 2>/dev/null || true`,
			strings.Repeat("x", 124))

		for _, conn := range []configurer.Conn{conn, inside} {
			var err error
			if conn == inside {
				_, err = conn.Link(configurer.Which{Name: "eth0"})
			} else {
				_, err = conn.Peer(link(conn, "host"))
			}
			Expect(err).To(HaveOccurred())
			Expect(err).NotTo(MatchErrorStrictly(configurer.ErrNotFound), "it is there")
		}
		By("answering the next question")
		Expect(link(conn, "host").Index).To(Equal(host))
		Expect(conn.Ports(link(conn, "b").Index)).To(HaveLen(1))
		Expect(link(inside, "lo").Index).To(Equal(1))
	})
})

var _ = Describe("reading how a link fares", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("sees a carrier come and go with the other end, at the first look", func() {
		if !testnet.SettlesLinks() {
			Skip("before Linux 6.8 a look settles nothing")
		}
		container := newNamespace()
		conn, inside := connect(nil), connect(container)
		host, peer := addPair(conn, addBridge(conn, "b"), "host", container, "eth0")
		do(conn, configurer.SetUp{Link: host, Up: true})
		Expect(link(conn, "host")).To(And(HaveField("Up", true), HaveField("Running", false)))
		// Without a look the kernel's deferred job settles it, up to a second later.
		for range 5 {
			do(inside, configurer.SetUp{Link: peer, Up: true})
			Expect(link(conn, "host")).To(And(HaveField("Up", true), HaveField("Running", true)))
			Expect(link(inside, "eth0")).To(And(HaveField("Up", true), HaveField("Running", true)))
			do(inside, configurer.SetUp{Link: peer, Up: false})
			Expect(link(conn, "host")).To(And(HaveField("Up", true), HaveField("Running", false)))
			Expect(link(inside, "eth0")).To(And(HaveField("Up", false), HaveField("Running", false)))
		}
	})

	It("counts the bytes that came and went, each as its end sees it", func() {
		container := newNamespace()
		conn, inside := connect(nil), connect(container)
		host, peer := addPair(conn, addBridge(conn, "b"), "host", container, "eth0")
		sh("ip link set dev host nomaster")
		do(conn, configurer.SilenceIPv6{Link: host}, configurer.SetUp{Link: host, Up: true}, configurer.AddAddress{Link: host, Address: prefix("10.0.0.1/24")})
		do(inside, configurer.SilenceIPv6{Link: peer}, configurer.SetUp{Link: peer, Up: true},
			configurer.AddAddress{Link: peer, Address: prefix("10.0.0.2/24")})
		sh("ip neighbour add 10.0.0.2 lladdr 02:00:00:00:00:03 dev host")
		in(container, "ip neighbour add 10.0.0.1 lladdr 02:00:00:00:00:02 dev eth0; echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all")
		counters := func(conn configurer.Conn, index int) configurer.Counters {
			GinkgoHelper()
			all, err := conn.Counters()
			Expect(err).NotTo(HaveOccurred())
			Expect(all).To(HaveKey(index))
			return all[index]
		}
		Expect(counters(conn, host)).To(BeZero())

		// Nobody answers, so that the two directions differ.
		sh("ping -q -c 10 -i 0.002 -s 1000 -W 1 -w 1 10.0.0.2 || true")
		const size = 14 + 20 + 8 + 1000 // Ethernet, IPv4 and ICMP
		sent := counters(conn, host).Sent
		Expect(sent).To(BeNumerically(">=", 10*size))
		Expect(sent%size).To(BeZero(), "nothing else was sent")
		Expect(counters(conn, host).Received).To(BeZero())
		Expect(counters(inside, peer)).To(Equal(configurer.Counters{Received: sent}))
		Expect(fmt.Sprint(sent)).To(Equal(strings.TrimSpace(sh("cat /proc/net/dev | awk '$1 == \"host:\" { print $10 }'"))))
	})
})
