package kernel_test

import (
	"net"
	"os"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// What others have in a host's tables.
const (
	iptablesDrop = "iptables -P FORWARD DROP\n"
	// As Docker 28 makes its chains.
	docker = iptablesDrop + `
		iptables -N DOCKER-USER
		iptables -N DOCKER-FORWARD
		iptables -A FORWARD -j DOCKER-USER
		iptables -A FORWARD -j DOCKER-FORWARD
		iptables -A DOCKER-FORWARD -i docker0 -j ACCEPT
	`
	nftDrop = `nft add table inet fw; nft add chain inet fw fwd-1 '{ type filter hook forward priority 10; policy drop; }'
	`
	firewalld = `nft add table inet firewalld; nft add chain inet firewalld filter_FORWARD '{ type filter hook forward priority 10; policy accept; }'
		nft add chain inet firewalld filter_INPUT '{ type filter hook input priority 10; policy accept; }'
	`
	// As firewalld 1.3 has it after firewall-cmd --zone=trusted --add-interface=brg0.
	trusted = firewalld + `
		for c in ZONES FWD_public FWD_trusted FWD_trusted_allow; do nft add chain inet firewalld filter_$c; done
		nft -f - <<-END
			add rule inet firewalld filter_FORWARD ct state established,related accept
			add rule inet firewalld filter_FORWARD jump filter_ZONES
			add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited
			add rule inet firewalld filter_ZONES iifname "brg0" goto filter_FWD_trusted
			add rule inet firewalld filter_ZONES goto filter_FWD_public
			add rule inet firewalld filter_FWD_trusted jump filter_FWD_trusted_allow
			add rule inet firewalld filter_FWD_trusted accept
			add rule inet firewalld filter_FWD_trusted_allow oifname "brg0" accept
			add rule inet firewalld filter_FWD_public reject with icmpx admin-prohibited
		END
	`
)

var _ = Describe("what others keep from being forwarded", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	block := func(family, table, chain string) configurer.Block {
		return configurer.Block{Family: family, Table: table, Chain: chain, Chains: []string{chain}}
	}

	DescribeTable("is found", func(script string, want ...configurer.Block) {
		conn := connect(nil)
		Expect(conn.Blocks()).To(BeEmpty())
		sh("%s", script)
		Expect(conn.Blocks()).To(ConsistOf(want))
	},
		Entry("in a table of iptables", iptablesDrop, block("ip", "filter", "FORWARD")),
		Entry("in a table of ip6tables", "ip6tables -P FORWARD DROP", block("ip6", "filter", "FORWARD")),
		Entry("in tables of nft(8), with all of their chains", nftDrop+`nft add chain inet fw other; nft add table ip fw; nft add chain ip fw forward '{ type filter hook forward priority -300; policy drop; }'`,
			configurer.Block{Family: "inet", Table: "fw", Chain: "fwd-1", Chains: []string{"fwd-1", "other"}}, block("ip", "fw", "forward")),
		Entry("beside other chains, such as Docker's", docker, configurer.Block{
			Family: "ip", Table: "filter", Chain: "FORWARD", Chains: []string{"FORWARD", "DOCKER-USER", "DOCKER-FORWARD"}, In: []string{"docker0"},
		}),
		Entry("firewalld's by its name, whatever its policy is", firewalld, configurer.Block{
			Family: "inet", Table: "firewalld", Chain: "filter_FORWARD", Chains: []string{"filter_FORWARD", "filter_INPUT"},
		}),
		Entry("not where the policy accepts", "iptables -P FORWARD ACCEPT; iptables -A FORWARD -j DROP"),
		Entry("not in one of ebtables, which sees nothing that is routed", "ebtables -P FORWARD DROP"),
		Entry("not in a table that is switched off", nftDrop+"nft add table inet fw '{ flags dormant; }'"),
		Entry("not on other ways", `iptables -P INPUT DROP; iptables -P OUTPUT DROP
			nft add table inet fw
			for hook in prerouting input output postrouting; do nft add chain inet fw $hook "{ type filter hook $hook priority 0; policy drop; }"; done`),
		Entry("not in netsetgo's own tables", rulesThere+`nft add chain inet netsetgo forward '{ policy drop; }'`),
		Entry("not in tables that see nothing of it", `nft add table arp fw; nft add chain arp fw input '{ type filter hook input priority 0; policy drop; }'
			nft add table ip fw; nft add chain ip fw forward`),
	)

	DescribeTable("is told with the links that are let through", func(script string, in, out []string) {
		conn := connect(nil)
		sh("%s", script)
		Expect(conn.Blocks()).To(HaveExactElements(And(HaveField("In", in), HaveField("Out", out))))
	},
		Entry("none", iptablesDrop, nil, nil),
		Entry("by iptables", iptablesDrop+"iptables -A FORWARD -i brg0 -j ACCEPT; iptables -A FORWARD -o br.0-x -j ACCEPT", []string{"brg0"}, []string{"br.0-x"}),
		Entry("by one rule for both", iptablesDrop+"iptables -A FORWARD -i brg0 -o brg1 -j ACCEPT", []string{"brg0"}, []string{"brg1"}),
		Entry("in a chain that is always asked, by way of others", iptablesDrop+"for c in a b; do iptables -N $c; done; iptables -A FORWARD -j a; iptables -A a -g b; iptables -A b -i brg0 -m comment --comment mine -j ACCEPT",
			[]string{"brg0"}, nil),
		Entry("not in a chain that isn't asked", iptablesDrop+"iptables -N a; iptables -A a -i brg0 -j ACCEPT; iptables -A INPUT -i brg0 -j ACCEPT; iptables -A OUTPUT -o brg0 -j ACCEPT", nil, nil),
		Entry("not in a chain that is asked at times", iptablesDrop+"for c in a b; do iptables -N $c; iptables -A $c -i brg0 -j ACCEPT; done; iptables -A FORWARD -i eth0 -j a; iptables -A FORWARD -p tcp -j b", nil, nil),
		Entry("not those of which a part is let through", iptablesDrop+"iptables -A FORWARD -i brg0 -p tcp --dport 22 -j ACCEPT; iptables -A FORWARD -o brg0 -m conntrack --ctstate ESTABLISHED -j ACCEPT", nil, nil),
		Entry("not those of one address", nftDrop+"nft add rule inet fw fwd-1 iifname brg0 ip saddr 10.10.10.9 accept", nil, nil),
		Entry("in a chain that is asked for them, and accepts all", iptablesDrop+"iptables -N a; iptables -A FORWARD -i brg0 -j a; iptables -A a -j ACCEPT; iptables -N b; iptables -A FORWARD -i brg1 -j b; iptables -A b -p tcp -j ACCEPT",
			[]string{"brg0"}, nil),
		Entry("by firewalld, of a zone that is trusted", trusted, []string{"brg0"}, []string{"brg0"}),
		Entry("by nft(8)", nftDrop+"nft add rule inet fw fwd-1 iifname brg0 accept; nft add rule inet fw fwd-1 oifname brg0 counter accept", []string{"brg0"}, []string{"brg0"}),
		Entry("in another chain of the table", docker+"iptables -I DOCKER-USER -o brg0 -j ACCEPT", []string{"docker0"}, []string{"brg0"}),
		Entry("not those that are dropped", iptablesDrop+"iptables -A FORWARD -i brg0 -j DROP; iptables -A FORWARD -o brg0 -j RETURN", nil, nil),
		Entry("not those that are excepted", iptablesDrop+"iptables -A FORWARD ! -i brg0 -j ACCEPT", nil, nil),
		Entry("not those that reach each other only", iptablesDrop+"iptables -A FORWARD -i brg0 -o brg0 -j ACCEPT", nil, nil),
		Entry("not in another table", iptablesDrop+"nft add table ip other; nft add chain ip other a; nft add rule ip other a iifname brg0 accept", nil, nil),
	)
})

// upOnHost connects a container on the spec's own host, as `netsetgo up` does, and returns
// what was warned of.
func upOnHost(container *os.File, config netsetgo.NetworkConfig) []string {
	GinkgoHelper()
	var warnings []string
	host := configurer.NewHostConfigurer(kernel.System{})
	host.Warn = func(text string) { warnings = append(warnings, text) }
	config.Namespace = container
	Expect(netsetgo.New(host, configurer.NewContainerConfigurer(kernel.System{})).Up(config, 0)).To(Succeed())
	return warnings
}

var _ = Describe("the command against what others keep from being forwarded", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	// world is what the host's uplink leads to: 192.0.2.9 and 2001:db8::9, each with a way
	// back to the host only.
	world := func() *os.File {
		GinkgoHelper()
		namespace := newNamespace()
		sh(`ip link set lo up
			ip link add up0 type veth peer name w0 netns /proc/%d/fd/%d
			ip link set up0 up
			ip address add 192.0.2.1/24 dev up0
			ip address add 2001:db8::1/64 dev up0 nodad`, os.Getpid(), namespace.Fd())
		in(namespace, "ip link set w0 up; ip address add 192.0.2.9/24 dev w0; ip address add 2001:db8::9/64 dev w0 nodad")
		sh("ip route add default via 192.0.2.9; ip -6 route add default via 2001:db8::9; ip link show dev up0 >/dev/null")
		return namespace
	}
	_, subnet, _ := net.ParseCIDR("10.10.10.0/24")
	_, subnet6, _ := net.ParseCIDR("fd10::/64")
	both := netsetgo.NetworkConfig{
		BridgeName: "brg0", BridgeIP: net.IPv4(10, 10, 10, 1), Subnet: subnet, BridgeIP6: net.ParseIP("fd10::1"), Subnet6: subnet6,
	}
	const ping4, ping6 = "ping -q -c1 -W1 192.0.2.9", "ping -q -c1 -W1 2001:db8::9"

	DescribeTable("is warned of, and opens it", func(script, warning, command string, closed, open string) {
		world()
		container, conn := newNamespace(), connect(nil)
		sh("%s", script)
		Expect(upOnHost(container, both)).To(HaveExactElements(warning + " keeps bridge brg0 from the world; to open it: " + command))
		in(container, "%s; ! %s", open, closed)
		sh("%s", command)
		in(container, "%s; %s", open, closed)
		Expect(conn.Blocks()).To(HaveExactElements(And(HaveField("In", ContainElement("brg0")), HaveField("Out", ContainElement("brg0")))))
		By("not being warned of again")
		sh("nft flush table inet netsetgo") // so that the next run has to look
		Expect(upOnHost(newNamespace(), both)).To(BeEmpty())
	},
		Entry("in a table of iptables", iptablesDrop, "policy drop of chain FORWARD in table ip filter",
			"iptables -I FORWARD -i brg0 -j ACCEPT; iptables -I FORWARD -o brg0 -j ACCEPT", ping4, ping6),
		Entry("in one of ip6tables", "ip6tables -P FORWARD DROP", "policy drop of chain FORWARD in table ip6 filter",
			"ip6tables -I FORWARD -i brg0 -j ACCEPT; ip6tables -I FORWARD -o brg0 -j ACCEPT", ping6, ping4),
		Entry("beside Docker", docker, "policy drop of chain FORWARD in table ip filter",
			"iptables -I DOCKER-USER -i brg0 -j ACCEPT; iptables -I DOCKER-USER -o brg0 -j ACCEPT", ping4, ping6),
		Entry("in a table of nft(8)", nftDrop, "policy drop of chain fwd-1 in table inet fw",
			`nft 'insert rule inet fw fwd-1 iifname "brg0" accept'; nft 'insert rule inet fw fwd-1 oifname "brg0" accept'`, ping4, "true"),
	)

	DescribeTable("is that of who keeps it", func(script, text string) {
		sh("%s", script)
		Expect(upOnHost(newNamespace(), both)).To(HaveExactElements(text))
	},
		Entry("ufw's", iptablesDrop+"iptables -N ufw-user-forward", "policy drop of chain FORWARD in table ip filter keeps bridge brg0 from the world; "+
			"to open it: ufw route allow in on brg0; ufw route allow out on brg0"),
		Entry("ufw's of IPv6", "ip6tables -P FORWARD DROP; ip6tables -N ufw6-user-forward", "policy drop of chain FORWARD in table ip6 filter keeps bridge brg0 from the world; "+
			"to open it: ufw route allow in on brg0; ufw route allow out on brg0"),
		Entry("firewalld's", firewalld, "firewalld keeps bridge brg0 from the world; "+
			"to open it: firewall-cmd --permanent --zone=trusted --add-interface=brg0 && firewall-cmd --reload"),
	)

	DescribeTable("is none where nothing of the container is kept", func(script string, config netsetgo.NetworkConfig) {
		sh("%s", script)
		Expect(upOnHost(newNamespace(), config)).To(BeEmpty())
	},
		Entry("for another family", "ip6tables -P FORWARD DROP", netsetgo.NetworkConfig{}),
		Entry("for what passes through bridges", "ebtables -P FORWARD DROP", netsetgo.NetworkConfig{}),
		Entry("where it is open already", iptablesDrop+"iptables -A FORWARD -i brg0 -j ACCEPT; iptables -A FORWARD -o brg0 -j ACCEPT", netsetgo.NetworkConfig{}),
	)

	DescribeTable("can be pasted for any name of a bridge", func(name string) {
		sh("%s", nftDrop)
		config := both
		config.BridgeName = name
		warnings := upOnHost(newNamespace(), config)
		Expect(warnings).To(HaveLen(1))
		sh("%s", warnings[0][len("policy drop of chain fwd-1 in table inet fw keeps bridge "+name+" from the world; to open it: "):])
		Expect(connect(nil).Blocks()).To(HaveExactElements(And(HaveField("In", ContainElement(name)), HaveField("Out", ContainElement(name)))))
	},
		Entry("with dots and dashes", "br.0-x_y"),
		Entry("with a digit first", "0br"),
		Entry("a word of nft(8)", "ip"),
	)
})
