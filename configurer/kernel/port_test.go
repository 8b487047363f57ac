package kernel_test

import (
	"fmt"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// twoPorts makes a bridge of two ports.
const twoPorts = `
	ip link add name b type bridge
	for n in 1 2; do
		ip link add p$n type veth peer name q$n
		ip link set p$n master b
		ip link set p$n up
		ip link set q$n up
	done
	ip link set dev b up
	ip link show dev p1 >/dev/null
	ip link show dev p2 >/dev/null
`

// canLock is a port as this kernel has it. Before Linux 5.18 none can be locked, and nothing
// is said of it.
func canLock(port configurer.Port) configurer.Port {
	port.CanLock = testnet.LocksPorts()
	port.Locked = port.Locked && port.CanLock
	return port
}

var _ = Describe("ports of a bridge", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	DescribeTable("are read as ip(8) set them", func(flag string, is configurer.Port) {
		conn := connect(nil)
		sh(twoPorts + "ip link set p1 type bridge_slave learning off")
		Expect(link(conn, "p1").Port).To(Equal(canLock(configurer.Port{})))
		Expect(link(conn, "p2").Port).To(Equal(canLock(configurer.Port{Learning: true})), "the kernel's default")
		sh("ip link set p1 type bridge_slave %s on", flag)
		Expect(link(conn, "p1").Port).To(Equal(canLock(is)))
		ports, err := conn.Ports(link(conn, "b").Index)
		Expect(err).NotTo(HaveOccurred())
		Expect(ports).To(ConsistOf(HaveField("Port", canLock(is)), HaveField("Port", canLock(configurer.Port{Learning: true}))))
		sh("ip link set p1 type bridge_slave %s off", flag)
		Expect(link(conn, "p1").Port).To(Equal(canLock(configurer.Port{})))
	},
		Entry("learning", "learning", configurer.Port{Learning: true}),
		Entry("locked", "locked", configurer.Port{Locked: true}),
		Entry("isolated", "isolated", configurer.Port{Isolated: true}),
		Entry("hairpin", "hairpin", configurer.Port{Hairpin: true}),
	)

	It("are none where a link isn't one", func() {
		conn := connect(nil)
		sh(twoPorts + "ip link set p1 nomaster; ip link set p1 group 7")
		Expect(link(conn, "p1").Port).To(BeZero())
		Expect(link(conn, "b").Port).To(BeZero())
		Expect(try(conn, configurer.SetPort{Link: link(conn, "p1").Index})).To(HaveExactElements(HaveOccurred()))
		Expect(try(conn, configurer.SetPort{Link: 999})).To(HaveExactElements(MatchErrorStrictly(configurer.ErrNotFound)))
	})

	DescribeTable("are set as asked, each flag by itself, with the groups that they forward", func(port configurer.Port) {
		conn := connect(nil)
		sh(twoPorts)
		onOff := map[bool]string{true: "on", false: "off"}
		for _, before := range []string{"on", "off"} {
			sh("ip link set p1 type bridge_slave learning %[1]s locked %[1]s isolated %[1]s hairpin %[1]s group_fwd_mask 0", before)
			do(conn, configurer.SetPort{Link: link(conn, "p1").Index, Port: port})
			said := sh("ip -details link show p1")
			Expect(said).To(And(
				ContainSubstring(" learning %s ", onOff[port.Learning]),
				ContainSubstring(" isolated %s ", onOff[port.Isolated]), ContainSubstring(" hairpin %s ", onOff[port.Hairpin]),
				ContainSubstring(" group_fwd_mask 0xfffd "),
			))
			if testnet.LocksPorts() {
				Expect(said).To(ContainSubstring(" locked %s ", onOff[port.Locked]))
			}
			Expect(link(conn, "p1").Port).To(Equal(canLock(port)))
		}
		Expect(link(conn, "p2").Port).To(Equal(canLock(configurer.Port{Learning: true})), "another port's")
	},
		Entry("nothing", configurer.Port{}),
		Entry("learning", configurer.Port{Learning: true}),
		Entry("locked", configurer.Port{Locked: true}),
		Entry("isolated", configurer.Port{Isolated: true}),
		Entry("hairpin", configurer.Port{Hairpin: true}),
	)

	It("know MACs that were added, and no others", func() {
		conn := connect(nil)
		sh(twoPorts)
		Expect(conn.PortMACs(link(conn, "p1"))).To(BeEmpty(), "not its own")
		sh(`bridge fdb replace 02:00:00:00:00:11 dev p1 master static
			bridge fdb replace 02:00:00:00:00:12 dev p1 master static
			bridge fdb add 02:00:00:00:00:13 dev p1 master dynamic
			bridge fdb add 02:00:00:00:00:14 dev p1 master local
			bridge fdb replace 02:00:00:00:00:21 dev p2 master static
			bridge fdb add 02:00:00:00:00:31 dev b self local`)
		Expect(conn.PortMACs(link(conn, "p1"))).To(ConsistOf(mac("02:00:00:00:00:11"), mac("02:00:00:00:00:12")))
		Expect(conn.PortMACs(link(conn, "p2"))).To(HaveExactElements(Equal(mac("02:00:00:00:00:21"))))
		Expect(conn.PortMACs(link(conn, "q1"))).To(BeEmpty())
		do(conn, configurer.AddPortMAC{Link: link(conn, "p2").Index, MAC: mac("02:00:00:00:00:22")})
		Expect(conn.PortMACs(link(conn, "p2"))).To(ConsistOf(mac("02:00:00:00:00:21"), mac("02:00:00:00:00:22")))
		Expect(sh("bridge fdb show br b dev p2")).To(ContainSubstring("02:00:00:00:00:22 master b static"))
	})

	It("are told apart among many on one bridge", func() {
		conn := connect(nil)
		sh(twoPorts)
		do(conn, configurer.AddPortMAC{Link: link(conn, "p1").Index, MAC: mac("02:00:00:00:00:11")})
		for i := range 300 {
			do(conn, configurer.AddPortMAC{Link: link(conn, "p2").Index, MAC: mac(fmt.Sprintf("02:00:00:00:%02x:%02x", 1+i/256, i%256))})
		}
		Expect(conn.PortMACs(link(conn, "p1"))).To(HaveExactElements(Equal(mac("02:00:00:00:00:11"))))
		Expect(conn.PortMACs(link(conn, "p2"))).To(HaveLen(300))
	})

	It("get a MAC also where another has it, or the bridge has learnt it there", func() {
		conn := connect(nil)
		sh(twoPorts)
		p1, p2 := link(conn, "p1").Index, link(conn, "p2").Index
		do(conn, configurer.AddPortMAC{Link: p1, MAC: mac("02:00:00:00:00:11")})
		do(conn, configurer.AddPortMAC{Link: p1, MAC: mac("02:00:00:00:00:11")})
		sh("bridge fdb add 02:00:00:00:00:13 dev p1 master dynamic")
		do(conn, configurer.AddPortMAC{Link: p2, MAC: mac("02:00:00:00:00:11")}, configurer.AddPortMAC{Link: p2, MAC: mac("02:00:00:00:00:13")})
		Expect(conn.PortMACs(link(conn, "p1"))).To(BeEmpty())
		Expect(conn.PortMACs(link(conn, "p2"))).To(ConsistOf(mac("02:00:00:00:00:11"), mac("02:00:00:00:00:13")))
		Expect(try(conn, configurer.AddPortMAC{Link: link(conn, "q1").Index, MAC: mac("02:00:00:00:00:12")})).To(HaveExactElements(HaveOccurred()), "it is no port")
	})

	It("let in what comes from a MAC of theirs only, when they are locked", func() {
		if !testnet.LocksPorts() {
			Skip("before Linux 5.18 ports can't be locked; there, rules do it")
		}
		container := newNamespace()
		conn, inside := connect(nil), connect(container)
		bridge := addBridge(conn, "b")
		host, peer := addPair(conn, bridge, "host", container, "eth0")
		do(conn, configurer.SetUp{Link: bridge, Up: true}, configurer.AddAddress{Link: bridge, Address: prefix("10.0.0.1/24")},
			configurer.SetPort{Link: host, Port: configurer.Port{Locked: true}}, configurer.AddPortMAC{Link: host, MAC: mac("02:00:00:00:00:03")}, configurer.SetUp{Link: host, Up: true})
		do(inside, configurer.SetUp{Link: peer, Up: true}, configurer.AddAddress{Link: peer, Address: prefix("10.0.0.2/24")})
		link(conn, "host")
		link(conn, "b")
		in(container, "ping -q -c1 -W1 10.0.0.1")
		in(container, "ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 up; ! ping -q -c1 -W1 10.0.0.1")
		Expect(sh("bridge fdb show br b")).NotTo(ContainSubstring("02:00:00:00:00:99"))
		in(container, "ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:03; ip link set eth0 up; ping -q -c1 -w5 10.0.0.1")
	})
})
