package configurer_test

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

var _ = Describe("a look at the host", Label("unit"), func() {
	It("finds that the kernel has no nftables", func() {
		w := newWorld(0)
		w.onCall = func(_ int, doing string) (bool, error) {
			if strings.HasPrefix(doing, "table ") {
				return false, configurer.ErrNoFirewall
			}
			return true, nil
		}
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{
			{What: "nftables in the kernel", Asked: "present", Is: netsetgo.Missing, Mend: "modprobe nf_tables"},
		}))
		w.expectNothingOpen()
	})

	It("finds that published ports aren't those of 127.0.0.1 any more, which the next run mends", func() {
		w := newWorld(1)
		config := publishing(netsetgo.NetworkConfig{}, port(80, "tcp"))
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		bridge := w.host().named("brg0")
		bridge.Settings.RouteLocalnet = false
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{
			{What: "sysctl net/ipv4/conf/brg0/route_localnet", Asked: "1", Is: "0", Mend: "sysctl -w net/ipv4/conf/brg0/route_localnet=1"},
		}))
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(bridge.Settings.RouteLocalnet).To(BeTrue())
		bridge.Settings.RouteLocalnet = false
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.expectNothingOpen()
	})

	It("asks for nothing that only a run at work, or one that was killed, wanted", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, port(80, "tcp")), firstPid)).To(Succeed())
		// It ended before its port was that of 127.0.0.1.
		hostLink := w.host().named("veth1")
		hostLink.Altnames = slices.DeleteFunc(hostLink.Altnames, func(name string) bool { return strings.HasPrefix(name, "netsetgo:n:") })
		w.host().named("brg0").Settings.RouteLocalnet = false
		Expect(w.netset().Check(netsetgo.NetworkConfig{}, firstPid+1)).To(BeEmpty())
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{
			{What: "port veth1 of brg0", Asked: "a container's", Is: "incomplete: its run is at work, or was killed", Mend: "ip link delete dev veth1"},
		}))
	})

	It("finds ports of a container that is gone", func() {
		w := newWorld(2)
		Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, port(80, "tcp")), firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		w.end(w.container(1))
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(ContainElement(netsetgo.Difference{
			What: "element tcp . 80 : 10.10.10.2 . 80 of ports4", Asked: "none", Is: "left over",
			Mend: "nft 'delete element inet netsetgo ports4 { tcp . 80 }'",
		}))
	})

	It("finds what is left open where the only bridge was deleted by hand, which down mends", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.host().remove(w.host().named("veth0"))
		w.host().remove(w.host().named("brg0"))
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{{
			What: "sysctl net/ipv4/conf/eth0/forwarding", Asked: "0", Is: "1, left by a bridge that is gone", Mend: "netsetgo down -id none",
		}}))
		for _, not := range []func(){
			func() { w.host().named(uplink).Settings.Forwarding = false },
			func() { w.host().sysctls["net/ipv4/ip_forward"] = "1" },
		} {
			not()
			Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(And(
				Not(ContainElement(HaveField("What", "sysctl net/ipv4/conf/eth0/forwarding"))),
				ContainElement(netsetgo.Difference{
					What: `element "brg0" of bridges`, Asked: "none", Is: "left over", Mend: `nft 'delete element inet netsetgo bridges { "brg0" }'`,
				})))
		}
		Expect(w.netset().Down(netsetgo.NetworkConfig{ID: "none"}, 0)).To(Succeed())
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(BeEmpty())
	})

	It("finds that the rules are gone where only bridges of others are", func() {
		w := newWorld(1)
		w.host().addBridge("brg0", "10.10.10.1/24")
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(BeEmpty())
		w.host().rules = ruleset{}
		gone := []netsetgo.Difference{
			{What: "rules of table inet netsetgo", Asked: "present", Is: netsetgo.Missing, Mend: netsetgo.UpAgain},
			{What: "rules of table bridge netsetgo", Asked: "present", Is: netsetgo.Missing, Mend: netsetgo.UpAgain},
		}
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal(gone))
		Expect(w.netset().Check(netsetgo.NetworkConfig{}, firstPid)).To(Equal(gone))
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Check(netsetgo.NetworkConfig{}, firstPid)).To(BeEmpty())
	})

	It("tells elements of links that are gone by their numbers", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{SpoofCheck: netsetgo.No}, firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		index := w.host().named("veth0").Index
		w.end(w.container(1))
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{{
			What: fmt.Sprintf("element %d of unchecked", index), Asked: "none", Is: "left over",
			Mend: fmt.Sprintf("nft 'delete element bridge netsetgo unchecked { %d }'", index),
		}}))
	})

	It("finds a port whose container is about to be gone", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(BeEmpty())
		w.container(1).dying = true
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{
			{What: "port veth0 of brg0", Asked: "a container's", Is: "left by one that is gone", Mend: "ip link delete dev veth0"},
		}))
	})
})
