package configurer_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

var _ = Describe("what others keep from being forwarded", Label("unit"), func() {
	iptables := func(family string, more ...string) configurer.Block {
		return configurer.Block{Family: family, Table: "filter", Chain: "FORWARD", Chains: append([]string{"INPUT", "FORWARD", "OUTPUT"}, more...)}
	}
	warned := func(config netsetgo.NetworkConfig, blocks ...configurer.Block) string {
		GinkgoHelper()
		w := newWorld(1).routed6()
		w.blocks = blocks
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		w.expectNothingOpen()
		return strings.Join(w.warnings, "\n")
	}

	DescribeTable("is told, with the command that opens it", func(block configurer.Block, what, mend string) {
		Expect(warned(dual(), block)).To(Equal(what + " keeps bridge brg0 from the world; to open it: " + mend))
	},
		Entry("by iptables", iptables("ip"), "policy drop of chain FORWARD in table ip filter",
			"iptables -I FORWARD -i brg0 -j ACCEPT; iptables -I FORWARD -o brg0 -j ACCEPT"),
		Entry("by ip6tables", iptables("ip6"), "policy drop of chain FORWARD in table ip6 filter",
			"ip6tables -I FORWARD -i brg0 -j ACCEPT; ip6tables -I FORWARD -o brg0 -j ACCEPT"),
		Entry("by Docker", iptables("ip", "DOCKER", "DOCKER-USER"), "policy drop of chain FORWARD in table ip filter",
			"iptables -I DOCKER-USER -i brg0 -j ACCEPT; iptables -I DOCKER-USER -o brg0 -j ACCEPT"),
		Entry("by Docker, of IPv6", iptables("ip6", "DOCKER", "DOCKER-USER"), "policy drop of chain FORWARD in table ip6 filter",
			"ip6tables -I DOCKER-USER -i brg0 -j ACCEPT; ip6tables -I DOCKER-USER -o brg0 -j ACCEPT"),
		Entry("by ufw", iptables("ip", "ufw-user-forward"), "policy drop of chain FORWARD in table ip filter",
			"ufw route allow in on brg0; ufw route allow out on brg0"),
		Entry("by ufw, of IPv6", iptables("ip6", "ufw6-user-forward"), "policy drop of chain FORWARD in table ip6 filter",
			"ufw route allow in on brg0; ufw route allow out on brg0"),
		Entry("by firewalld", configurer.Block{Family: "inet", Table: "firewalld", Chain: "filter_FORWARD"}, "firewalld",
			"firewall-cmd --permanent --zone=trusted --add-interface=brg0 && firewall-cmd --reload"),
		Entry("by a table of somebody's", configurer.Block{Family: "inet", Table: "mine", Chain: "fwd"}, "policy drop of chain fwd in table inet mine",
			`nft 'insert rule inet mine fwd iifname "brg0" accept'; nft 'insert rule inet mine fwd oifname "brg0" accept'`),
		Entry("by a table that is called as that of iptables", configurer.Block{Family: "inet", Table: "filter", Chain: "FORWARD"},
			"policy drop of chain FORWARD in table inet filter",
			`nft 'insert rule inet filter FORWARD iifname "brg0" accept'; nft 'insert rule inet filter FORWARD oifname "brg0" accept'`),
	)

	DescribeTable("isn't told where it isn't in the way", func(config func() netsetgo.NetworkConfig, block configurer.Block) {
		Expect(warned(config(), block)).To(BeEmpty())
	},
		Entry("of IPv6, which isn't asked for", func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{} }, iptables("ip6")),
		Entry("of IPv4, which isn't asked for", only6, iptables("ip")),
		Entry("open for the bridge", dual, configurer.Block{Family: "ip", Table: "filter", In: []string{"eth0", "brg0"}, Out: []string{"brg0"}}),
	)

	DescribeTable("is told where it is open in one direction only", func(block configurer.Block) {
		Expect(warned(dual(), block)).NotTo(BeEmpty())
	},
		Entry("out", configurer.Block{Family: "ip", Table: "filter", In: []string{"brg0"}}),
		Entry("in", configurer.Block{Family: "ip", Table: "filter", Out: []string{"brg0"}}),
		Entry("for another bridge", configurer.Block{Family: "ip", Table: "filter", In: []string{"brg1"}, Out: []string{"brg1"}}),
	)

	It("is told of each", func() {
		Expect(strings.Count(warned(dual(), iptables("ip"), iptables("ip6")), "to open it: ")).To(Equal(2))
	})

	It("isn't looked for by each run", func() {
		w := newWorld(2)
		w.blocks = []configurer.Block{iptables("ip")}
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.warnings).To(HaveLen(1))
		Expect(w.asked(func() error { return w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1) })).NotTo(ContainElement("blocks"))
		Expect(w.warnings).To(HaveLen(1))
	})

	It("isn't looked for where nobody would be told", func() {
		w := newWorld(1)
		host := configurer.NewHostConfigurer(w.kernel())
		Expect(w.asked(func() error { return host.Apply(netsetgo.NetworkConfig{}, firstPid) })).NotTo(ContainElement("blocks"))
	})
})
