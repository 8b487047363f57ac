package configurer_test

import (
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
)

// addUplink gives the host one more default route of each family, by a link of its own.
func (w *world) addUplink(name string) *device {
	d := w.host().add(configurer.Link{Name: name, Up: true, MTU: 1500})
	for _, everywhere := range []string{"0.0.0.0/0", "::/0"} {
		w.host().routes = append(w.host().routes, configurer.Route{
			Route: netsetgo.Route{Destination: netip.MustParsePrefix(everywhere), Metric: 100 + d.Index}, Link: d.Index,
		})
	}
	return d
}

// was is what a bridge remembers.
func (w *world) was(bridge string) []lease.Was {
	note, _ := lease.ReadNote(w.host().named(bridge).Alias)
	return note.Was
}

// tower is a second bridge beside brg0.
func tower() netsetgo.NetworkConfig {
	config := everyOption()
	config.Publish = nil
	return config
}

var _ = Describe("uplinks", Label("unit"), func() {
	sysctls := func(w *world) string {
		var found []string
		for _, line := range w.log {
			if strings.HasPrefix(line, "sysctl -w ") && !strings.Contains(line, "/brg0/") && !strings.Contains(line, "/tower/") {
				found = append(found, strings.TrimPrefix(line, "sysctl -w "))
			}
		}
		return strings.Join(found, "\n")
	}

	It("of both families forward, what they were is remembered before, and put back by the last one out", func() {
		w := newWorld(1).routed6()
		w.addUplink("eth1")
		before := w.String()
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(sysctls(w)).To(Equal(`
net/ipv4/conf/eth0/forwarding=1
net/ipv4/conf/eth1/forwarding=1
net/ipv6/conf/eth0/force_forwarding=1
net/ipv6/conf/eth1/force_forwarding=1`[1:]))
		Expect(w.host().named("brg0").Alias).To(HaveSuffix(
			" was=2/forwarding:0,3/forwarding:0,2/force_forwarding:0,3/force_forwarding:0"))
		Expect(w.host().rules.String()).To(ContainSubstring(`uplinks { ipv4 . 2, ipv4 . 3, ipv6 . 2, ipv6 . 3 }`))
		remembered := slices.IndexFunc(w.log, func(line string) bool { return strings.Contains(line, " was=") })
		for at, line := range w.log {
			if strings.Contains(line, "eth") && strings.HasPrefix(line, "sysctl -w ") {
				Expect(at).To(BeNumerically(">", remembered), line)
			}
		}
		Expect(w.netset().Down(dual(), firstPid)).To(Succeed())
		w.container(1).links[0].Up, w.container(1).links[0].addresses = false, nil // lo stays up
		Expect(w.String()).To(Equal(before))
	})

	It("that are bridges of others carry what they did, by their rules", func() {
		w := newWorld(1).routed6()
		w.host().named(uplink).Kind = "bridge"
		w.addUplink("eth1")
		w.host().add(configurer.Link{Name: "br9", Kind: "bridge"})
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		carriers := "carriers { 2 . 2 }"
		Expect(w.host().rules.String()).To(ContainSubstring(carriers))
		w.host().rules[firewall.Inet].sets["carriers"] = []firewall.Element{}
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring(carriers))
		w.host().rules = ruleset{}
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring(carriers))
	})

	DescribeTable("are let be", func(prepare func(w *world), config netsetgo.NetworkConfig) {
		w := newWorld(1).routed6()
		prepare(w)
		before := w.host().named(uplink).Settings
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.was("brg0")).To(BeEmpty())
		Expect(w.host().named(uplink).Settings).To(Equal(before))
		Expect(w.host().rules.String()).NotTo(ContainSubstring("uplinks {"))
		Expect(w.netset().Down(config, firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings).To(Equal(before))
	},
		Entry("that forward already", func(w *world) { w.host().named(uplink).Settings.Forwarding = true }, netsetgo.NetworkConfig{}),
		Entry("that forward already, of IPv6", func(w *world) { w.host().named(uplink).Settings.ForceForwarding = true }, only6()),
		Entry("where there is no default route", func(w *world) { w.host().routes = nil }, dual()),
		Entry("of a family that isn't asked for", func(w *world) { w.host().routes = w.host().routes[1:] }, netsetgo.NetworkConfig{}),
		Entry("of a family that isn't asked for, which is IPv4", func(w *world) { w.host().routes = w.host().routes[:1] }, only6()),
	)

	It("are remembered once, are handed over to the next bridge, and put back by the last", func() {
		w := newWorld(2).routed6()
		before := w.host().named(uplink).Settings
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		was := w.was("brg0")
		Expect(was).To(HaveLen(2))
		Expect(w.was("tower")).To(BeEmpty())
		Expect(w.netset().Down(dual(), firstPid)).To(Succeed())
		Expect(w.was("tower")).To(Equal(was))
		Expect(w.host().named(uplink).Settings).NotTo(Equal(before))
		Expect(w.host().rules.String()).To(And(
			ContainSubstring(`uplinks { ipv4 . 2, ipv6 . 2 }`), Not(ContainSubstring("brg0"))))
		Expect(w.netset().Down(tower(), firstPid+1)).To(Succeed())
		Expect(w.host().named(uplink).Settings).To(Equal(before))
		Expect(w.host().rules).To(BeEmpty())
	})

	It("are handed over but for those that are gone", func() {
		w := newWorld(2)
		gone := w.addUplink("wlan0")
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		w.host().remove(gone)
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.was("tower")).To(Equal([]lease.Was{{Link: 2, Sysctl: "forwarding", Value: "0"}}))
	})

	It("are refused where no bridge could remember those of all that are there", func() {
		w := newWorld(2)
		var first []*device
		for n := range 5 {
			first = append(first, w.addUplink(fmt.Sprintf("wan%d", n)))
		}
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		for n := range 9 {
			w.addUplink(fmt.Sprintf("wlan%d", n))
		}
		before := w.String()
		attic := netsetgo.NetworkConfig{BridgeName: "attic", BridgeIP: net.IPv4(10, 10, 30, 1), Subnet: &net.IPNet{IP: net.IPv4(10, 10, 30, 0), Mask: net.CIDRMask(24, 32)}}
		Expect(w.netset().Up(attic, firstPid+1)).To(MatchError(ContainSubstring("the note on bridge attic has no room to remember how 9 of them were")))
		Expect(w.String()).To(Equal(before))
		for _, link := range first {
			w.host().remove(link)
		}
		Expect(w.netset().Up(attic, firstPid+1)).To(Succeed())
	})

	DescribeTable("are put back by the last one out though nothing remembers them", func(prepare func() *world, lose func(w *world)) {
		w := prepare()
		before := w.host().named(uplink).Settings
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		lose(w)
		Expect(w.host().named(uplink).Settings).NotTo(Equal(before))
		Expect(w.netset().Down(dual(), firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings).To(Equal(before))
		Expect(w.host().sysctls[allForwarding6]).To(Equal("0"))
		Expect(w.host().rules).To(BeEmpty())
		w.expectNothingOpen()
	},
		Entry("the bridge was deleted by hand", func() *world { return newWorld(1).routed6() }, func(w *world) { w.host().remove(w.host().named("brg0")) }),
		Entry("the bridge's alias was overwritten", func() *world { return newWorld(1).routed6() }, func(w *world) { w.host().named("brg0").Alias = "tower" }),
		Entry("the same, by an older kernel, but for what accept_ra was", func() *world { return olderWorld(2) }, func(w *world) { w.host().remove(w.host().named("brg0")) }),
	)

	It("are put back by the last one out though the bridge that remembered them was deleted before", func() {
		w := newWorld(2).routed6()
		before := w.host().named(uplink).Settings
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		w.host().remove(w.host().named("brg0"))
		Expect(w.netset().Down(dual(), firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings).NotTo(Equal(before))
		Expect(w.netset().Down(tower(), firstPid+1)).To(Succeed())
		Expect(w.host().named(uplink).Settings).To(Equal(before))
	})

	It("are nobody's to close, also where nothing remembers them", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		w.host().remove(w.host().named("brg0"))
		w.host().sysctls["net/ipv4/ip_forward"] = "1"
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).NotTo(ContainSubstring("uplinks {"))
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(BeEmpty())
	})

	It("are remembered by the next run where nothing remembers them, before rules are made anew", func() {
		w := newWorld(2).routed6()
		before := w.host().named(uplink).Settings
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		was := w.was("brg0")
		w.host().remove(w.host().named("brg0"))
		w.host().rules[firewall.Inet].version = "0"
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		Expect(w.was("tower")).To(Equal(was))
		Expect(w.host().rules.String()).To(ContainSubstring("uplinks { ipv4 . 2, ipv6 . 2 }"))
		Expect(w.netset().Down(tower(), firstPid+1)).To(Succeed())
		Expect(w.host().named(uplink).Settings).To(Equal(before))
	})

	It("are remembered by the next run where the alias was emptied", func() {
		w := newWorld(1).routed6()
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		was := w.was("brg0")
		w.host().named("brg0").Alias = ""
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.was("brg0")).To(Equal(was))
	})

	It("stay open for a bridge whose alias was emptied", func() {
		w := newWorld(2).routed6()
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		w.host().named("tower").Alias = ""
		Expect(w.netset().Down(dual(), firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings).To(And(HaveField("Forwarding", true), HaveField("ForceForwarding", true)))
		Expect(w.host().rules).NotTo(BeEmpty())
		Expect(w.was("tower")).To(HaveLen(2))
	})

	It("are nobody's to close where somebody makes the host a router meanwhile", func() {
		w := newWorld(1).routed6()
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring("uplinks { ipv4 . 2, ipv6 . 2 }"))
		w.host().sysctls["net/ipv4/ip_forward"] = "1"
		Expect(w.netset().Diagnose(dual())).To(Equal([]netsetgo.Difference{{
			What: "element of uplinks", Asked: "none", Is: `ipv4 . "eth0"`, Mend: "nft 'delete element inet netsetgo uplinks { ipv4 . \"eth0\" }'",
		}}))
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring("uplinks { ipv6 . 2 }"))
		w.host().sysctls[allForwarding6] = "1"
		Expect(w.netset().Up(dual(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).NotTo(ContainSubstring("uplinks {"))
		Expect(w.netset().Diagnose(dual())).To(BeEmpty())
	})

	It("keep being remembered by a bridge that stays", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		was := w.was("brg0")
		Expect(w.netset().Down(tower(), firstPid+1)).To(Succeed())
		Expect(w.was("brg0")).To(Equal(was))
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeTrue())
	})

	It("are put back where several bridges go at once", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.host().addOurs("idle")
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeFalse())
	})

	It("that come later forward from the next run on, whichever container's that is", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		late := w.addUplink("wlan0")
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(late.Settings.Forwarding).To(BeTrue())
		Expect(w.was("brg0")).To(Equal([]lease.Was{{Link: 2, Sysctl: "forwarding", Value: "0"}, {Link: late.Index, Sysctl: "forwarding", Value: "0"}}))
		w.host().remove(late)
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed(), "one may be gone")
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeFalse())
	})

	It("that come and go don't fill the note", func() {
		w := newWorld(1)
		for range 30 {
			late := w.addUplink("ppp0")
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
			Expect(w.was("brg0")).To(HaveLen(2))
			w.host().remove(late)
		}
	})

	It("that somebody closed are opened again, and remembered as they were first", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		was := w.was("brg0")
		w.host().named(uplink).Settings.Forwarding = false
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeTrue())
		Expect(w.was("brg0")).To(Equal(was))
		Expect(w.was("tower")).To(BeEmpty())
	})

	It("that another run remembers while the lock is given up aren't forgotten", func() {
		w := newWorld(1)
		w.at("nft add element ports4", func() error {
			w.host().named("brg0").Alias += ",1/forwarding:0"
			return nil
		})
		Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, port(80, "tcp")), firstPid)).To(Succeed())
		Expect(w.was("brg0")).To(ContainElement(lease.Was{Link: 1, Sysctl: "forwarding", Value: "0"}))
	})

	It("that have no IPv6 any more keep nobody from going", func() {
		w := newWorld(1).routed6()
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		w.at("sysctl -w net/ipv6/conf/eth0/force_forwarding=0", func() error { return configurer.ErrNotFound })
		Expect(w.netset().Down(only6(), firstPid)).To(Succeed())
		Expect(w.host().rules).To(BeEmpty())
		Expect(w.host().named("brg0")).To(BeNil())
	})

	It("stay open where somebody makes the host a router meanwhile", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.host().sysctls["net/ipv4/ip_forward"] = "1"
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeTrue())
		Expect(w.host().rules).To(BeEmpty())
	})

	It("that a router made an exception of are one again", func() {
		w := newWorld(1)
		w.host().sysctls["net/ipv4/ip_forward"] = "1"
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.was("brg0")).To(Equal([]lease.Was{{Link: 2, Sysctl: "forwarding4", Value: "0"}}))
		Expect(w.host().rules.String()).To(And(ContainSubstring(`exempt { 2 }`), ContainSubstring(`uplinks { ipv4 . 2 }`)))
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeTrue())
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeFalse())
	})

	It("that a router made an exception of are one again, also where nothing remembers them", func() {
		w := newWorld(2)
		w.host().sysctls["net/ipv4/ip_forward"] = "1"
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		w.host().remove(w.host().named("brg0"))
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring(`uplinks { ipv4 . 2 }`))
		Expect(w.netset().Down(tower(), firstPid+1)).To(Succeed())
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeFalse())
		Expect(w.host().rules).To(BeEmpty())
	})

	It("are refused where they are too many to be remembered, and all is undone", func() {
		w := newWorld(1)
		for n := range 16 {
			w.addUplink(fmt.Sprintf("wan%d", n))
		}
		before := w.String()
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(
			ContainSubstring("has no room to remember how 17 of them were; switch forwarding on by hand, as in sysctl -w net/ipv4/conf/eth0/forwarding=1")))
		Expect(w.String()).To(Equal(before))
	})
})

// olderWorld is one in which links listen to routers, or don't.
func olderWorld(acceptRA int) *world {
	w := newWorld(1).routed6()
	w.host().unforced = true
	for _, d := range w.host().links {
		d.Settings.HasForce, d.Settings.AcceptRA = false, acceptRA
	}
	return w
}

// Before Linux 6.17 a host is a router of IPv6 by all links or none.
var _ = Describe("uplinks of IPv6 by an older kernel", Label("unit"), func() {
	It("keep the routes that a router told, and are put back", func() {
		w := olderWorld(1)
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		Expect(w.host().routes).To(ContainElement(HaveField("Destination", netip.MustParsePrefix("::/0"))))
		Expect(w.host().named(uplink).Settings).To(And(HaveField("AcceptRA", 2), HaveField("Forwarding6", true)))
		Expect(w.was("brg0")).To(Equal([]lease.Was{{Link: 2, Sysctl: "accept_ra", Value: "1"}, {Sysctl: "forwarding6", Value: "0"}}))
		Expect(w.host().rules.String()).To(ContainSubstring("routers { ipv6 }"))
		rules := w.host().rules.String()
		w.host().rules = ruleset{}
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(Equal(rules))
		w.log = nil
		Expect(w.netset().Down(only6(), firstPid)).To(Succeed())
		Expect(slices.DeleteFunc(w.log, func(line string) bool { return !strings.HasPrefix(line, "sysctl ") })).To(Equal([]string{
			"sysctl -w " + allForwarding6 + "=0", "sysctl -w net/ipv6/conf/eth0/accept_ra=1",
		}), "a router doesn't listen to others by 1")
		Expect(w.host().named(uplink).Settings).To(And(HaveField("AcceptRA", 1), HaveField("Forwarding6", false)))
		Expect(w.host().sysctls[allForwarding6]).To(Equal("0"))
		Expect(w.host().routes).To(ContainElement(HaveField("Destination", netip.MustParsePrefix("::/0"))))
	})

	It("leave all bridges of others what they carry, also later ones from the next run on", func() {
		w := olderWorld(1)
		w.host().add(configurer.Link{Name: "br8", Kind: "bridge"})
		index := w.host().named("br8").Index
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring(fmt.Sprintf("carriers { %d . %[1]d }", index)))
		w.host().add(configurer.Link{Name: "br9", Kind: "bridge"})
		later := w.host().named("br9").Index
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring(fmt.Sprintf("carriers { %d . %[1]d, %d . %[2]d }", index, later)))
	})

	DescribeTable("keep what accept_ra is", func(acceptRA int) {
		w := olderWorld(acceptRA)
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings.AcceptRA).To(Equal(acceptRA))
		Expect(w.was("brg0")).To(Equal([]lease.Was{{Sysctl: "forwarding6", Value: "0"}}))
	},
		Entry("none", 0),
		Entry("also of a router", 2),
	)

	It("go on to listen to routers where somebody sets that back", func() {
		w := olderWorld(1)
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		was := w.was("brg0")
		w.host().named(uplink).Settings.AcceptRA = 1
		Expect(w.netset().Diagnose(only6())).To(Equal([]netsetgo.Difference{
			{What: "sysctl net/ipv6/conf/eth0/accept_ra", Asked: "2", Is: "1", Mend: netsetgo.UpAgain},
		}))
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		Expect(w.host().named(uplink).Settings.AcceptRA).To(Equal(2))
		Expect(w.was("brg0")).To(Equal(was))
	})

	It("are let be where the host is a router", func() {
		w := olderWorld(1)
		w.host().sysctls[allForwarding6] = "1"
		Expect(w.netset().Up(only6(), firstPid)).To(Succeed())
		Expect(w.was("brg0")).To(BeEmpty())
		Expect(w.host().named(uplink).Settings.AcceptRA).To(Equal(1))
		Expect(w.host().rules.String()).NotTo(ContainSubstring("routers {"))
	})
})
