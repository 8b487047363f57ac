package configurer_test

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
	"github.com/netsetgo/netsetgo/configurerfakes"
)

// dual asks for both families.
func dual() netsetgo.NetworkConfig {
	GinkgoHelper()
	var config netsetgo.NetworkConfig
	var err error
	config.BridgeIP, config.Subnet, err = net.ParseCIDR("10.10.10.1/24")
	Expect(err).NotTo(HaveOccurred())
	config.BridgeIP6, config.Subnet6, err = net.ParseCIDR("fd10::1/64")
	Expect(err).NotTo(HaveOccurred())
	return config
}

// only6 asks for IPv6 alone.
func only6() netsetgo.NetworkConfig {
	config := dual()
	config.BridgeIP, config.Subnet = nil, nil
	return config
}

// publishing asks for ports as well.
func publishing(config netsetgo.NetworkConfig, ports ...netsetgo.Publish) netsetgo.NetworkConfig {
	config.Publish = ports
	return config
}

// port is one that all addresses of the host have.
func port(number int, protocol string) netsetgo.Publish {
	return netsetgo.Publish{HostPort: number, ContainerPort: 80, Protocol: protocol}
}

// routed gives the host a default route of IPv6 as well, by the same uplink.
func (w *world) routed6() *world {
	w.host().routes = append(w.host().routes, configurer.Route{
		Route: netsetgo.Route{Destination: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fe80::99")},
		Link:  w.host().named(uplink).Index,
	})
	return w
}

// busy is a host with containers of two bridges, c1 and c2, and a third one that isn't
// connected.
func busyHost() *world {
	GinkgoHelper()
	w := newWorld(3).routed6()
	Expect(w.netset().Up(publishing(dual(), port(8080, "tcp"), port(5000, "udp")), firstPid)).To(Succeed())
	second := everyOption()
	second.Publish = second.Publish[1:]
	Expect(w.netset().Up(second, firstPid+1)).To(Succeed())
	w.expectNothingOpen()
	w.log = nil
	return w
}

// asked are the calls of a run.
func (w *world) asked(run func() error) []string {
	GinkgoHelper()
	var asked []string
	w.onCall = func(_ int, doing string) (bool, error) {
		asked = append(asked, doing)
		return true, nil
	}
	Expect(run()).To(Succeed())
	w.onCall = nil
	return asked
}

var _ = Describe("the rules", Label("unit"), func() {
	It("are looked at in few calls, and let be, where they are in place", func() {
		w := busyHost()
		rules := w.host().rules.String()
		asked := w.asked(func() error { return w.netset().Up(dual(), firstPid) })
		Expect(asked[slices.Index(asked, "table inet"):]).To(HaveExactElements(
			"table inet", "table bridge", "find elements", "uplinks",
			// and those of the container's side
			"pin", "inode", "connect c1", "connect host", "lock shared", HavePrefix("host: link netsetgo:n:"), "namespace id",
		))
		Expect(w.log).To(BeEmpty())
		Expect(w.host().rules.String()).To(Equal(rules))
	})

	It("of a bridge aren't touched by another container that joins it", func() {
		w := busyHost()
		asked := w.asked(func() error { return w.netset().Up(dual(), firstPid+2) })
		Expect(asked).NotTo(ContainElement(Or(HavePrefix("lock exclusive"), HavePrefix("rules"), HavePrefix("elements"),
			HavePrefix("nft add table"), Equal("bridges"), Equal("veths"), Equal("ports"), Equal("blocks"))))
	})

	type damage struct {
		what   string
		damage func(w *world)
	}
	empty := func(family firewall.Family, set string) damage {
		return damage{"what is in " + set, func(w *world) { w.host().rules[family].sets[set] = []firewall.Element{} }}
	}
	damages := []damage{
		{"all of them", func(w *world) { w.host().rules = ruleset{} }},
		{"those of what is routed", func(w *world) { delete(w.host().rules, firewall.Inet) }},
		{"those of what is bridged", func(w *world) { delete(w.host().rules, firewall.Bridge) }},
		{"one of them", func(w *world) {
			t := w.host().rules[firewall.Inet]
			t.uses["forward"]--
			t.rules = slices.DeleteFunc(t.rules, func(rule configurer.RuleAt) bool { return rule.Why == "bridges are closed" })
		}},
		{"all of a chain", func(w *world) { w.host().rules[firewall.Bridge].uses["prerouting"] = 0 }},
		{"those of this version", func(w *world) { w.host().rules[firewall.Inet].version = "0" }},
		empty(firewall.Inet, "uplinks"),
		{"that the bridge forwards", func(w *world) { w.host().named("brg0").Settings.Forwarding = false }},
		{"that the bridge forwards IPv6", func(w *world) { w.host().named("brg0").Settings.ForceForwarding = false }},
		{"that the uplink forwards", func(w *world) { w.host().named(uplink).Settings.Forwarding = false }},
		{"that the uplink forwards IPv6", func(w *world) { w.host().named(uplink).Settings.ForceForwarding = false }},
	}
	// Of one container's alone, or of its bridge's.
	own := []damage{
		{"what its bridge is like", func(w *world) {
			sets := w.host().rules[firewall.Inet].sets
			sets["bridges"], sets["masqueraded"] = sets["bridges"][1:], []firewall.Element{}
		}},
		{"who it may be", func(w *world) {
			for _, name := range []string{"senders4", "senders6", "targets6"} {
				w.host().rules[firewall.Bridge].sets[name] = w.host().rules[firewall.Bridge].sets[name][1:]
			}
		}},
		{"its ports", func(w *world) {
			sets := w.host().rules[firewall.Inet].sets
			sets["ports4"], sets["published4"] = sets["ports4"][1:], sets["published4"][1:]
		}},
	}
	for _, each := range append(own, damages...) {
		It("are put back by the same run, where somebody took away "+each.what, func() {
			w := busyHost()
			before := w.String()
			each.damage(w)
			Expect(w.String()).NotTo(Equal(before))
			Expect(w.netset().Up(publishing(dual(), port(8080, "tcp"), port(5000, "udp")), firstPid)).To(Succeed())
			Expect(w.String()).To(Equal(before))
			w.expectNothingOpen()
		})
	}
	for _, each := range damages {
		It("are put back by another container's run, where somebody took away "+each.what, func() {
			w, whole := busyHost(), busyHost()
			each.damage(w)
			for _, w := range []*world{w, whole} {
				Expect(w.netset().Up(dual(), firstPid+2)).To(Succeed())
			}
			Expect(w.String()).To(Equal(whole.String()))
			w.expectNothingOpen()
		})
	}

	It("are made anew with the lock held alone", func() {
		w := busyHost()
		w.host().rules = ruleset{}
		w.at("nft add table inet", func() error {
			Expect(w.locks).To(HaveLen(1))
			Expect(w.locks).To(ContainElement(exclusive))
			return nil
		})
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
	})

	It("hold for a bridge as it is, whatever one of its name was like that is gone", func() {
		w := newWorld(1)
		open := netsetgo.NetworkConfig{AllowInbound: netsetgo.Yes, Isolated: netsetgo.Yes}
		Expect(w.netset().Up(open, firstPid)).To(Succeed())
		w.host().remove(w.host().named("veth0"))
		w.host().remove(w.host().named("brg0"))
		w.container(1).links = w.container(1).links[:1]
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).NotTo(Or(ContainSubstring("inbound {"), ContainSubstring("isolated {")))
		Expect(w.host().rules.String()).To(ContainSubstring("masqueraded {"))
	})

	It("are put back where a killed run claimed a port that another has", func() {
		w := busyHost()
		rules := w.host().rules.String()
		w.host().links = append([]*device{w.host().add(configurer.Link{
			Name: "veth7", Kind: "veth", Group: lease.Group, Altnames: []string{"netsetgo:a:99e8:brg0:10.10.10.99", "netsetgo:p:ddfc:tcp:8080:99:*"},
		})}, w.host().links[:len(w.host().links)-1]...)
		w.host().rules = ruleset{}
		Expect(w.netset().Up(publishing(dual(), port(8080, "tcp"), port(5000, "udp")), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring("tcp . 8080 : 10.10.10.2 . 80"))
		Expect(w.host().rules.String()).NotTo(ContainSubstring(". 99"))
		Expect(rules).NotTo(BeEmpty())
	})

	It("of the families that a container has are seen to by the same run, and no others", func() {
		w := newWorld(1).routed6()
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		before := w.String()
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(before))
	})

	// The bridge goes while the run waits for the lock, and another makes it anew.
	It("are made use of with the lock held shared, whoever made them meanwhile", func() {
		w := busyHost()
		rules, bridge, other := w.host().rules, w.host().named("brg0"), &configurerfakes.FakeLock{}
		w.host().rules = ruleset{}
		w.at("lock exclusive", func() error {
			bridge.Index += 1000
			for _, d := range w.host().links {
				if d.Master == bridge.Index-1000 {
					d.Master = bridge.Index
				}
			}
			w.host().rules = rules
			w.locks[other] = shared
			return nil
		})
		w.at("ip link add", func() error {
			Expect(w.locks).To(HaveLen(2), "the run's own as well")
			Expect(w.locks).To(HaveEach(shared))
			return nil
		})
		Expect(w.netset().Up(dual(), firstPid+2)).To(Succeed())
		delete(w.locks, other)
		w.expectNothingOpen()
	})

	It("that a kernel hasn't got keep no bridge from being undone", func() {
		w := newWorld(2)
		w.host().addBridge("theirs").addresses = []netip.Prefix{netip.MustParsePrefix("10.10.20.1/24")}
		w.host().named("theirs").Up = true
		w.onCall = func(_ int, doing string) (bool, error) {
			for _, prefix := range []string{"table ", "nft ", "find ", "elements "} {
				if strings.HasPrefix(doing, prefix) {
					return false, configurer.ErrNoFirewall
				}
			}
			return true, nil
		}
		theirs := netsetgo.NetworkConfig{BridgeName: "theirs", SpoofCheck: netsetgo.No}
		theirs.BridgeIP, theirs.Subnet = net.IPv4(10, 10, 20, 1), &net.IPNet{IP: net.IPv4(10, 10, 20, 0), Mask: net.CIDRMask(24, 32)}
		Expect(w.netset().Up(theirs, firstPid)).To(Succeed())
		before := w.String()
		theirs.SpoofCheck = netsetgo.Default
		Expect(w.netset().Up(theirs, firstPid)).To(Succeed(), "again, by its defaults")
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(MatchError(configurer.ErrNoFirewall))
		Expect(w.String()).To(Equal(before))
	})

	It("aren't waited for by a run that sees another put them up", func() {
		w := busyHost()
		rules, other := w.host().rules, &configurerfakes.FakeLock{}
		w.host().rules = ruleset{}
		w.at("lock exclusive", func() error {
			w.host().rules = rules
			w.locks[other] = shared // for good
			return nil
		})
		Expect(w.netset().Up(dual(), firstPid+2)).To(Succeed())
		delete(w.locks, other)
		w.expectNothingOpen()
	})

	It("hold for nothing of what isn't netsetgo's, or isn't finished", func() {
		w := busyHost()
		w.host().addBridge("theirs")
		w.host().addOurs("idle")
		w.host().add(configurer.Link{Name: "veth7", Kind: "veth", Altnames: []string{"netsetgo:a:99e8:brg0:10.10.10.99", "netsetgo:p:692d:tcp:99:99:*"}})
		rules := w.host().rules.String()
		w.host().rules = ruleset{}
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(Equal(rules))
	})

	It("go on to look at what a port sends that somebody took off its bridge and put back", func() {
		for _, free := range []bool{false, true} {
			w := newWorld(2)
			config := netsetgo.NetworkConfig{}
			if free {
				config.SpoofCheck = netsetgo.No
			}
			Expect(w.netset().Up(config, firstPid)).To(Succeed())
			unchecked := ContainSubstring(fmt.Sprintf("unchecked { %d }", w.host().named("veth0").Index))
			w.host().named("veth0").Port = configurer.Port{Learning: !free, CanLock: true}
			for _, pid := range []int{firstPid, firstPid + 1} {
				w.host().rules = ruleset{}
				Expect(w.netset().Up(netsetgo.NetworkConfig{}, pid)).To(Succeed())
				if free {
					Expect(w.host().rules.String()).To(unchecked)
				} else {
					Expect(w.host().rules.String()).NotTo(unchecked)
				}
			}
			config.SpoofCheck = cmp.Or(config.SpoofCheck, netsetgo.Yes)
			Expect(w.netset().Up(config, firstPid)).To(Succeed(), "as it was made")
			Expect(w.netset().Check(netsetgo.NetworkConfig{SpoofCheck: netsetgo.No}, firstPid)).To(WithTransform(func(found []netsetgo.Difference) bool {
				return slices.ContainsFunc(found, func(d netsetgo.Difference) bool { return d.What == "spoofCheck of veth0" && d.Asked == "false" })
			}, Equal(!free)))
		}
	})

	It("see to MACs where the kernel knows no locked ports", func() {
		w := newWorld(2)
		w.host().cantLock = true
		config := netsetgo.NetworkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		index := firewall.Index(w.host().named("veth0").Index).String()
		Expect(w.log).To(ContainElements("nft add element locked { "+index+" }", "nft add element macs { "+index+" . 02:00:00:00:00:09 }"))
		Expect(slices.Index(w.log, "ip link set veth0 up")).To(BeNumerically(">", slices.Index(w.log, "nft add element macs { "+index+" . 02:00:00:00:00:09 }")))
		rules := w.host().rules.String()
		w.host().rules = ruleset{}
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(Equal(rules))
		Expect(w.netset().Up(netsetgo.NetworkConfig{SpoofCheck: netsetgo.No}, firstPid+1)).To(Succeed())
		Expect(w.netset().Down(config, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).NotTo(ContainSubstring("locked { "))
	})

	It("can't be made by a kernel without nftables, and nothing is left", func() {
		w := newWorld(1)
		w.onCall = func(_ int, doing string) (bool, error) {
			if strings.HasPrefix(doing, "table ") || strings.HasPrefix(doing, "nft ") {
				return false, configurer.ErrNoFirewall
			}
			return true, nil
		}
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(configurer.ErrNoFirewall))
		Expect(w.String()).To(Equal(newWorld(1).String()))
		w.expectNothingOpen()
	})
})
