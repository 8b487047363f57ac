package state_test

import (
	"fmt"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/state"
	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("differences", Label("unit"), func() {
	It("tell what is gone, what is new and what is otherwise, and links as a whole", func() {
		before := state.State{
			"link a name": "a", "link a mtu": "1500", "link b name": "b", "link b mtu": "1500", "bridge link b port": "1",
			"sysctl net/ipv4/conf/b/forwarding": "1", "address dev b 10.0.0.1": "",
		}
		after := state.State{
			"link a name": "a", "link a mtu": "1400", "link c name": "c", "link c mtu": "1500", "sysctl net/ipv4/conf/c/forwarding": "0",
			"link c2 mtu": "1500",
		}
		Expect(state.Differences(before, after)).To(Equal([]string{
			"+link c", "+link c2 mtu = 1500", "-address dev b 10.0.0.1", "-link b", "link a mtu: 1500 -> 1400",
		}))
		Expect(state.Differences(before, before)).To(BeEmpty())
	})
})

var _ = Describe("a state", Label("unit"), func() {
	DescribeTable("is settled", func(kind, flags, carrier, operstate string, settled bool) {
		Expect(state.State{
			"link a info kind": kind, "link a flags": flags, "link a carrier": carrier, "link a operstate": operstate,
		}.Settled()).To(Equal(settled))
	},
		Entry("where a link is down", "veth", "0x1002", "0", "2", true),
		Entry("where one is up and carries", "veth", "0x11043", "1", "6", true),
		Entry("where it carries, and that isn't seen yet: not", "veth", "0x11043", "1", "3", false),
		Entry("where it carries no more, and that isn't seen yet: not", "bridge", "0x1043", "0", "6", false),
		Entry("where nobody has looked yet: not", "bridge", "0x1043", "0", "0", false),
		Entry("where nobody has looked at one that carries yet: not", "veth", "0x11043", "1", "0", false),
		Entry("where a bridge never had a port", "bridge", "0x1043", "1", "0", true),
		Entry("where it doesn't carry", "bridge", "0x1003", "0", "2", true),
		Entry("where nobody ever looks", "dummy", "0x1043", "1", "0", true),
	)

	DescribeTable("with an address of which the kernel asks", func(carrier, flags string, settled bool) {
		Expect(state.State{
			"link a info kind": "bridge", "link a flags": "0x1002", "link a carrier": carrier,
			"address dev a address fe80::1 flags " + flags + " header 0a40": "",
		}.Settled()).To(Equal(settled))
	},
		Entry("isn't settled", "1", "192", false),
		Entry("is settled where it has asked", "1", "128", true),
		Entry("is settled where it never will, as another has it", "1", "200", true),
		Entry("is settled where it can't", "0", "192", true),
	)

	It("isn't settled where nobody has looked at a bridge with a port yet", func() {
		Expect(state.State{
			"link a info kind": "bridge", "link a flags": "0x1043", "link a carrier": "1", "link a operstate": "0", "link b master": "a",
		}.Settled()).To(BeFalse())
	})
})

var _ = Describe("the state of a namespace", Label("root"), func() {
	var host *testnet.Host
	var namespace *os.File
	var reader *state.Reader
	read := func() state.State {
		GinkgoHelper()
		is, err := reader.Read(namespace)
		Expect(err).NotTo(HaveOccurred())
		return is
	}
	BeforeEach(func() {
		host, reader = testnet.NewHost(), &state.Reader{}
		host.Sh("ip link add brg0 type bridge; ip link set brg0 addrgenmode none; nft add table inet mine; nft add set inet mine s '{ type ipv4_addr; }';" +
			"nft add chain inet mine c; nft add rule inet mine c tcp dport 1 accept; nft add rule inet mine c tcp dport 2 accept")
		var err error
		namespace, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", host.Pid))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(namespace.Close)
	})

	It("is hundreds of facts, and the same where nothing changed", func() {
		before := read()
		Expect(len(before)).To(BeNumerically(">", 500))
		Expect(state.Differences(before, read())).To(BeEmpty())
	})

	DescribeTable("has a fact for", func(script, undo, fact string) {
		before := read()
		host.Sh(script)
		Expect(state.Differences(before, read())).To(ContainElement(HavePrefix(fact)))
		host.Sh(undo)
		Expect(state.Differences(before, read())).To(BeEmpty())
	},
		Entry("a link", "ip link add x type bridge", "ip link delete x", "+link x"),
		Entry("an attribute", "ip link set brg0 mtu 1400", "ip link set brg0 mtu 1500", "link brg0 mtu: 1500 -> 1400"),
		Entry("an alias", "ip link set brg0 alias text", "ip link set brg0 alias ''", "+link brg0 alias = text"),
		Entry("one of a bridge", "ip link set brg0 type bridge mcast_snooping 0", "ip link set brg0 type bridge mcast_snooping 1", "link brg0 info data attribute 23"),
		Entry("another name", "ip link property add dev brg0 altname other", "ip link property del dev brg0 altname other", "+link brg0 altname other"),
		Entry("an address", "ip address add 10.9.9.9/32 dev brg0", "ip address delete 10.9.9.9/32 dev brg0", "+address dev brg0 address 10.9.9.9"),
		Entry("a route", "ip route add unreachable 10.9.0.0/16", "ip route delete unreachable 10.9.0.0/16", "+route"),
		Entry("a rule", "ip rule add from 10.9.0.0/16 lookup 99", "ip rule delete from 10.9.0.0/16 lookup 99", "+rule"),
		Entry("a forwarding entry", "bridge fdb add 02:00:00:00:00:01 dev brg0 self local", "bridge fdb delete 02:00:00:00:00:01 dev brg0 self local", "+forwarding entry dev brg0"),
		Entry("a table of nftables", "nft add table inet other", "nft delete table inet other", "+nft table inet other"),
		Entry("an element", "nft add element inet mine s '{ 10.0.0.1, 10.0.0.2 }'", "nft delete element inet mine s '{ 10.0.0.1, 10.0.0.2 }'", "+nft table inet mine set s: element 10.0.0.2"),
		Entry("the order of rules", "nft delete rule inet mine c handle $(nft -a list chain inet mine c | sed -n 's/.*dport 1 .*handle //p'); nft add rule inet mine c tcp dport 1 accept",
			"nft flush chain inet mine c; nft add rule inet mine c tcp dport 1 accept; nft add rule inet mine c tcp dport 2 accept",
			"nft table inet mine chain c: line 1: tcp dport 1 accept -> tcp dport 2 accept"),
		Entry("a sysctl", "echo 1 >/proc/sys/net/ipv4/conf/brg0/forwarding", "echo 0 >/proc/sys/net/ipv4/conf/brg0/forwarding", "sysctl net/ipv4/conf/brg0/forwarding: 0 -> 1"),
	)
})
