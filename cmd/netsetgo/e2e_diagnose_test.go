package main_test

import (
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("check of the host", Label("root"), func() {
	const flags = "-bridgeAddress 10.10.10.1/24,fd10::1/64 -publish 8080:80"

	// newHost has an uplink, and a container that is connected.
	newHost := func() place {
		GinkgoHelper()
		p := newPlace()
		p.host.Sh(`
			ip link add up0 address 02:00:00:00:00:01 type veth peer name far0 address 02:00:00:00:00:02
			for link in up0 far0; do ip link set $link addrgenmode none; ip link set $link up; done
			ip address add 192.0.2.2/24 dev up0
			ip -6 address add 2001:db8::2/64 dev up0 nodad
			ip route add default via 192.0.2.1
			ip -6 route add default via 2001:db8::1
		`)
		succeeds(execute(p.host, strings.Fields("-netns blue "+flags)...))
		return p
	}
	host := func(p place) []string { return p.check("") }
	container := func(p place) []string { return p.check("", strings.Fields("-netns blue "+flags)...) }

	BeforeEach(testnet.RequireRoot)

	It("finds nothing where all is well, or nothing is there yet", Label("kernels"), func() {
		Expect(host(newPlace())).To(BeEmpty())
		p := newHost()
		Expect(host(p)).To(BeEmpty())
		Expect(container(p)).To(BeEmpty())
	})

	mend := func(p place, lines []string) {
		GinkgoHelper()
		for _, line := range lines {
			_, command, found := strings.Cut(line, remedy)
			Expect(found).To(BeTrue(), line)
			p.host.Sh("PATH=" + filepath.Dir(binary) + ":$PATH; " + strings.ReplaceAll(command, "netsetgo up -netns NAME", "netsetgo up -netns=blue "+flags))
		}
	}

	It("finds what the only bridge left open that somebody deleted, and how to mend it", func() {
		p := newHost()
		p.host.Sh("ip link delete brg0; ip link delete veth0")
		lines := host(p)
		Expect(lines).To(ContainElement(HavePrefix("sysctl net/ipv4/conf/up0/forwarding is 1, left by a bridge that is gone, asked for is 0")))
		mend(p, lines[:1])
		Expect(host(p)).To(BeEmpty())
		Expect(p.host.Sh("cat /proc/sys/net/ipv4/conf/up0/forwarding; nft list ruleset")).To(Equal("0\n"))
	})

	noForwarding6 := Entry("forwarding of IPv6", "sysctl -qw net/ipv6/conf/brg0/force_forwarding=0 net/ipv6/conf/up0/force_forwarding=0",
		"sysctl net/ipv6/conf/brg0/force_forwarding is 0, asked for is 1", "sysctl net/ipv6/conf/up0/force_forwarding is 0, asked for is 1")
	if !testnet.ForwardsByLink() {
		noForwarding6 = Entry("forwarding of IPv6, of all links", "sysctl -qw net/ipv6/conf/all/forwarding=0",
			"sysctl net/ipv6/conf/all/forwarding is 0, asked for is 1")
	}
	locked := map[bool]string{true: "on", false: "off"}[testnet.LocksPorts()] // else it is the rules that look at MACs

	DescribeTable("finds what keeps its bridges from working, and how to mend it", func(fault string, expected ...string) {
		p := newHost()
		p.host.Sh(fault)
		lines := host(p)
		Expect(lines).To(HaveLen(len(expected)))
		for i, line := range lines {
			Expect(line).To(HavePrefix(expected[i]))
		}
		mend(p, lines)
		Expect(host(p)).To(BeEmpty())
		Expect(container(p)).To(BeEmpty())
	},
		Entry("rules that were flushed", "nft flush ruleset",
			"rules of table inet netsetgo is missing", "rules of table bridge netsetgo is missing"),
		Entry("a rule that was taken away", `nft flush chain inet netsetgo forward`, "rules of table inet netsetgo is others"),
		Entry("a rule that was added", `nft insert rule inet netsetgo forward accept`, "rules of table inet netsetgo is others"),
		Entry("the bridge's elements", `nft delete element inet netsetgo masqueraded '{ "brg0" }'`, "element of masqueraded is missing"),
		Entry("an uplink's element", `nft delete element inet netsetgo uplinks '{ ipv4 . "up0" }'`, "element of uplinks is missing"),
		Entry("forwarding that ip_forward took along", "sysctl -qw net/ipv4/ip_forward=1; sysctl -qw net/ipv4/ip_forward=0",
			"sysctl net/ipv4/conf/brg0/forwarding is 0, asked for is 1", "sysctl net/ipv4/conf/up0/forwarding is 0, asked for is 1"),
		noForwarding6,
		Entry("an uplink that came later", "ip route del default; ip route add default dev far0",
			"sysctl net/ipv4/conf/far0/forwarding is 0, asked for is 1"),
		Entry("a bridge that doesn't say what it is like", `ip link set brg0 alias "netsetgo next=10.10.10.3 number=1"`, "policy of brg0 is missing"),
		Entry("a bridge whose alias was overwritten", "ip link set brg0 alias tower", `note of brg0 is the alias "tower", asked for is netsetgo's`),
		Entry("a bridge that was opened", `nft add element inet netsetgo inbound '{ "brg0" }'`, `element of inbound is "brg0", asked for is none`),
		Entry("published ports that aren't 127.0.0.1's", "sysctl -qw net/ipv4/conf/brg0/route_localnet=0", "sysctl net/ipv4/conf/brg0/route_localnet is 0, asked for is 1"),
		Entry("a bridge that listens to routers", "sysctl -qw net/ipv6/conf/brg0/accept_ra=1",
			"sysctl net/ipv6/conf/brg0/accept_ra is 1, asked for is 0"),
		Entry("a policy of others, of both families", "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP",
			"policy drop of chain FORWARD in table ip filter is closed, asked for is open for brg0",
			"policy drop of chain FORWARD in table ip6 filter is closed, asked for is open for brg0",
			"sysctl net/bridge/bridge-nf-call-iptables is 1, asked for is 0",
			"sysctl net/bridge/bridge-nf-call-ip6tables is 1, asked for is 0"),
		Entry("a policy of others in a table of their own", `
			nft add table inet wall
			nft 'add chain inet wall f { type filter hook forward priority 0; policy drop; }'
			sysctl -qw net/bridge/bridge-nf-call-iptables=0 net/bridge/bridge-nf-call-ip6tables=0`,
			"policy drop of chain f in table inet wall is closed, asked for is open for brg0"),
		Entry("a route into the subnet", "ip route add 10.10.10.128/25 dev far0", "route 10.10.10.128/25 by far0, into the subnet of brg0 is present"),
		Entry("a route into the subnet of IPv6", "ip -6 route add fd10::8:0/112 dev far0", "route fd10::8:0/112 by far0, into the subnet of brg0 is present"),
		Entry("a port of somebody else's", "ip link add tap0 type veth peer name tap1; ip link set tap0 master brg0", "port tap0 of brg0 is somebody else's"),
		Entry("a port that a killed run left", `
			ip netns add red
			ip link add veth9 group 7238503 master brg0 type veth peer name eth0 netns red`, "port veth9 of brg0 is incomplete"),
	)

	DescribeTable("beside a container finds what is wrong with its own", func(fault string, expected ...string) {
		p := newHost()
		p.host.Sh(fault)
		lines := container(p)
		Expect(lines).To(HaveLen(len(expected)))
		for i, line := range lines {
			Expect(line).To(HavePrefix(expected[i]))
		}
		mend(p, lines)
		Expect(container(p)).To(BeEmpty())
	},
		Entry("a port that was opened", "ip link set veth0 type bridge_slave learning on locked off",
			"port veth0 is learning on locked off isolated off hairpin on, asked for is learning off locked "+locked+" isolated off hairpin on"),
		Entry("a MAC that isn't known any more", `bridge fdb del "$(ip netns exec blue cat /sys/class/net/veth1/address)" dev veth0 master`,
			"MAC known of port veth0 is missing"),
		Entry("addresses that it may not send from", "nft flush set bridge netsetgo senders4; nft flush set bridge netsetgo targets6",
			"element of senders4 is missing", "element of targets6 is missing"),
		Entry("a port that leads nowhere", `nft delete element inet netsetgo ports4 '{ tcp . 8080 }'`, "element of ports4 is missing"),
		Entry("a port that leads elsewhere", `
			nft delete element inet netsetgo ports6 '{ tcp . 8080 }'
			nft add element inet netsetgo ports6 '{ tcp . 8080 : fd10::2 . 81 }'`, "element of ports6 is tcp . 8080 : fd10::2 . 81, asked for is tcp . 8080 : fd10::2 . 80"),
		Entry("a port that nobody knows the owner of", "ip link property del dev veth0 altname 'netsetgo:p:9f82:tcp:8080:80:*'",
			"name netsetgo:p:9f82:tcp:8080:80:* of veth0 is missing"),
		Entry("the host as well", "sysctl -qw net/ipv4/conf/brg0/forwarding=0", "sysctl net/ipv4/conf/brg0/forwarding is 0"),
	)

	It("finds what others will keep, before there is a bridge", func() {
		p := newPlace()
		p.host.Must("iptables", "-P", "FORWARD", "DROP")
		lines := host(p)
		Expect(lines).To(ConsistOf(HavePrefix("policy drop of chain FORWARD in table ip filter is closed, asked for is open for brg0")))
		mend(p, lines)
		Expect(host(p)).To(BeEmpty())
	})

	It("finds that containers of an isolated bridge don't reach each other's ports", func() {
		p := newPlace()
		shown := []string{"sysctl net/bridge/bridge-nf-call-iptables is 1", "sysctl net/bridge/bridge-nf-call-ip6tables is 1"}
		succeeds(execute(p.host, "-netns", "blue", "-isolated"))
		Expect(host(p)).To(BeEmpty())
		succeeds(execute(p.host, "down", "-netns", "blue"))
		succeeds(execute(p.host, "-netns", "blue", "-isolated", "-publish", "8080:80"))
		lines := host(p)
		Expect(lines).To(HaveExactElements(HavePrefix(shown[0]), HavePrefix(shown[1])))
		mend(p, lines)
		Expect(host(p)).To(BeEmpty())
	})

	It("finds a bridge that is otherwise than asked", func() {
		p := newHost()
		Expect(p.check("", strings.Fields("-netns blue -nat=false -allowInbound -isolated "+flags)...)).To(ConsistOf(
			HavePrefix("nat of brg0 is true, asked for is false; to mend it: netsetgo down -netns=blue; netsetgo up -netns=blue -nat=false"),
			HavePrefix("allowInbound of brg0 is false, asked for is true"),
			HavePrefix("isolated of brg0 is false, asked for is true"),
		))
	})
})
