package configurer_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

var _ = Describe("what a bridge is like", Label("unit"), func() {
	DescribeTable("is as it was asked for, and remembered", func(config netsetgo.NetworkConfig, policy string, elements string) {
		w := newWorld(1)
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.host().named("brg0").Alias).To(ContainSubstring(" policy=" + policy + " was="))
		Expect(w.host().rules.String()).To(ContainSubstring(elements))
		Expect(w.netset().Inspect(config, firstPid)).To(And(
			HaveField("NAT", config.WithDefaults().NAT),
			HaveField("AllowInbound", config.WithDefaults().AllowInbound),
			HaveField("Isolated", config.WithDefaults().Isolated)))
	},
		Entry("by default", netsetgo.NetworkConfig{}, "closed,nat",
			" table inet\n   bridges { \"brg0\" }\n   masqueraded { \"brg0\" }\n   same { \"brg0\" . \"brg0\" }\n   uplinks"),
		Entry("without NAT", netsetgo.NetworkConfig{NAT: netsetgo.No}, "closed",
			" table inet\n   bridges { \"brg0\" }\n   same { \"brg0\" . \"brg0\" }\n   uplinks"),
		Entry("open", netsetgo.NetworkConfig{AllowInbound: netsetgo.Yes}, "open,nat",
			"   bridges { \"brg0\" }\n   inbound { \"brg0\" }\n   masqueraded { \"brg0\" }\n   same"),
		Entry("isolated", netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, "closed,nat,isolated",
			"   bridges { \"brg0\" }\n   isolated { \"brg0\" }\n   masqueraded { \"brg0\" }\n   same"),
	)

	It("holds for all its ports, whatever their runs say of it", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		for _, name := range []string{"veth0", "veth1"} {
			Expect(w.host().named(name).Port.Isolated).To(BeTrue(), name)
		}
	})

	DescribeTable("is refused where it was made otherwise, and nothing is changed", func(made, asked netsetgo.NetworkConfig, flag string) {
		w := newWorld(2)
		Expect(w.netset().Up(made, firstPid)).To(Succeed())
		before := w.String()
		w.log = nil
		Expect(w.netset().Up(asked, firstPid+1)).To(MatchError(ContainSubstring(
			"connecting to bridge brg0: it was made with " + flag + ", which its containers rely on; leave the flag out, or choose another -bridgeName")))
		Expect(w.log).To(BeEmpty())
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	},
		Entry("NAT", netsetgo.NetworkConfig{}, netsetgo.NetworkConfig{NAT: netsetgo.No}, "-nat=true"),
		Entry("no NAT", netsetgo.NetworkConfig{NAT: netsetgo.No}, netsetgo.NetworkConfig{NAT: netsetgo.Yes}, "-nat=false"),
		Entry("closed", netsetgo.NetworkConfig{}, netsetgo.NetworkConfig{AllowInbound: netsetgo.Yes}, "-allowInbound=false"),
		Entry("open", netsetgo.NetworkConfig{AllowInbound: netsetgo.Yes}, netsetgo.NetworkConfig{AllowInbound: netsetgo.No}, "-allowInbound=true"),
		Entry("not isolated", netsetgo.NetworkConfig{}, netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, "-isolated=false"),
		Entry("isolated", netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, netsetgo.NetworkConfig{Isolated: netsetgo.No}, "-isolated=true"),
	)

	DescribeTable("may be said again", func(config netsetgo.NetworkConfig) {
		w := newWorld(2)
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.netset().Up(config, firstPid+1)).To(Succeed())
	},
		Entry("by default", netsetgo.NetworkConfig{NAT: netsetgo.Yes, AllowInbound: netsetgo.No, Isolated: netsetgo.No}),
		Entry("the other way round", netsetgo.NetworkConfig{NAT: netsetgo.No, AllowInbound: netsetgo.Yes, Isolated: netsetgo.Yes}),
	)

	It("is what another run decides that gets the lock first", func() {
		w := newWorld(1)
		decide := func() error {
			w.host().named("brg0").Alias = "netsetgo number=0 policy=open"
			return nil
		}
		w.at("lock exclusive", decide)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().named("brg0").Alias).To(HavePrefix("netsetgo next=10.10.10.3 number=1 policy=open was="))

		w = newWorld(1)
		w.at("lock exclusive", decide)
		Expect(w.netset().Up(netsetgo.NetworkConfig{NAT: netsetgo.Yes}, firstPid)).To(MatchError(ContainSubstring("made with -nat=false")))
	})
})

var _ = Describe("a bridge of somebody else's", Label("unit"), func() {
	theirs := func() *world {
		w := newWorld(2).routed6()
		w.host().addBridge("brg0", "10.10.10.1/24", "fd10::1/64")
		return w
	}

	DescribeTable("is refused what would change it", func(config netsetgo.NetworkConfig, flag string) {
		w := theirs()
		before := w.String()
		Expect(w.netset().Up(config, firstPid)).To(MatchError(And(
			ContainSubstring("connecting to bridge brg0: it isn't netsetgo's"), ContainSubstring("leave -"+flag+" out"))))
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	},
		Entry("NAT", netsetgo.NetworkConfig{NAT: netsetgo.Yes}, "nat"),
		Entry("to be open", netsetgo.NetworkConfig{AllowInbound: netsetgo.Yes}, "allowInbound"),
		Entry("to be closed", netsetgo.NetworkConfig{AllowInbound: netsetgo.No}, "allowInbound"),
		Entry("to be isolated", netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, "isolated"),
		Entry("ports", publishing(netsetgo.NetworkConfig{}, port(8080, "tcp")), "publish"),
	)

	It("has containers that send from their own addresses only", func() {
		w := theirs()
		bridge, host := w.host().named("brg0").String(), w.host().named(uplink).String()
		config := dual()
		config.NAT, config.Isolated = netsetgo.No, netsetgo.No
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(Equal(` table inet
 table bridge
   senders4 { 6e:36:4a:42:26:f6 . 10.10.10.2 }
   senders6 { 6e:36:4a:42:26:f6 . fd10::2 }
   targets6 { 6e:36:4a:42:26:f6 . 0xfd100000000000000000000000000002 }
`))
		Expect(w.host().named("veth0").Port).To(Equal(configurer.Port{Locked: true, CanLock: true}))
		Expect(w.host().named("brg0").String()).To(Equal(bridge))
		Expect(w.host().named(uplink).String()).To(Equal(host))
		Expect(w.netset().Inspect(config, firstPid)).To(And(
			HaveField("NAT", netsetgo.Default), HaveField("AllowInbound", netsetgo.Default), HaveField("Isolated", netsetgo.Default),
			HaveField("SpoofCheck", true)))

		Expect(w.netset().Up(config, firstPid+1)).To(Succeed())
		rules := w.host().rules.String()
		w.host().rules = ruleset{}
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(Equal(rules), "put back")

		Expect(w.netset().Down(config, firstPid+1)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring("10.10.10.2"))
		Expect(w.netset().Down(config, firstPid)).To(Succeed())
		Expect(w.host().rules).To(BeEmpty(), "the last one takes the rules away")
	})

	It("keeps its containers' rules when the last bridge of ours goes", func() {
		w := theirs()
		tower := everyOption()
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(tower, firstPid+1)).To(Succeed())
		Expect(w.netset().Down(tower, firstPid+1)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring("senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }"))
	})

	It("isn't written to though ports lead to a container on it, of a time when it was ours", func() {
		w := newWorld(1)
		config := publishing(netsetgo.NetworkConfig{}, port(80, "tcp"))
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		bridge := w.host().named("brg0")
		bridge.Group, bridge.Settings.RouteLocalnet = 7, false
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(bridge.Settings.RouteLocalnet).To(BeFalse())
	})

	It("has containers that may send what they like, where that is asked for", func() {
		w := theirs()
		Expect(w.netset().Up(netsetgo.NetworkConfig{SpoofCheck: netsetgo.No}, firstPid)).To(Succeed())
	})
})
