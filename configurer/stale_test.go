package configurer_test

import (
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

// A container may end without down: its links go, and what it has in the rules stays.
var _ = Describe("what a container that is gone left in the rules", Label("unit"), func() {
	// left is a world in which c1 is gone and c2 stays.
	left := func(config netsetgo.NetworkConfig) *world {
		GinkgoHelper()
		w := newWorld(3)
		config.ContainerIP = net.IPv4(10, 10, 10, 7)
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.netset().Up(publishing(dual(), port(82, "tcp")), firstPid+1)).To(Succeed())
		w.end(w.container(1))
		w.log = nil
		Expect(w.host().rules.String()).To(ContainSubstring("10.10.10.7"))
		return w
	}
	its := publishing(dual(), port(80, "tcp"), by("192.0.2.9", port(81, "udp")))

	It("is swept by the run that leases its address", func() {
		w := left(its)
		config := dual()
		config.ContainerIP = net.IPv4(10, 10, 10, 7)
		Expect(w.netset().Up(config, firstPid+2)).To(Succeed())
		Expect(w.log).To(ContainElements(
			"nft delete element ports4 { tcp . 80 : 10.10.10.7 . 80 }", "nft delete element ports6 { tcp . 80 : fd10::7 . 80 }",
			"nft delete element addressports4 { 192.0.2.9 . udp . 81 : 10.10.10.7 . 80 }"))
		Expect(w.host().rules.String()).To(And(
			ContainSubstring("ports4 { tcp . 82 : 10.10.10.8 . 80 }\n"), Not(ContainSubstring("addressports4 {")),
			ContainSubstring("published4 { 10.10.10.8 }\n"), ContainSubstring("published6 { fd10::8 }\n")))
	})

	It("is swept by the run whose port it has, and doesn't count as its holder", func() {
		w := left(its)
		config := publishing(dual(), port(80, "tcp"))
		Expect(w.netset().Up(config, firstPid+2)).To(Succeed())
		Expect(w.host().rules.String()).To(And(
			ContainSubstring("   ports4 { tcp . 80 : 10.10.10.9 . 80, tcp . 82 : 10.10.10.8 . 80 }\n"), Not(ContainSubstring("10.10.10.7 . 80"))))
	})

	It("doesn't count as the holder of a port of all addresses", func() {
		w := left(its)
		Expect(w.netset().Up(publishing(dual(), port(81, "udp")), firstPid+2)).To(Succeed())
	})

	DescribeTable("is swept by down, also what the kernel knows of flows where that fails at first", func(others bool) {
		w := left(its)
		if !others {
			w.end(w.container(2))
		}
		failed := false
		w.onCall = func(_ int, doing string) (bool, error) {
			if !failed && strings.HasPrefix(doing, "conntrack") {
				failed = true
				return false, errBroken
			}
			return true, nil
		}
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, 0)).To(Succeed())
		Expect(failed).To(BeTrue())
		Expect(w.log).To(ContainElement(HavePrefix("conntrack -D -f ipv4 -p udp --dport 81")))
	},
		Entry("beside other containers", true),
		Entry("by the last one out", false),
	)

	It("is swept by down whole, though its time is over when the first is gone", func() {
		w := left(its)
		config := netsetgo.NetworkConfig{ID: "other", Deadline: time.Now().Add(100 * time.Millisecond)}
		w.at("nft delete element", func() error {
			for !time.Now().After(config.Deadline) {
				continue
			}
			return nil
		})
		Expect(w.netset().Down(config, 0)).To(Succeed())
		Expect(w.log).To(ContainElement(HavePrefix("conntrack -D -f ipv4 -p udp --dport 81")))
	})

	DescribeTable("is swept by down", func(config netsetgo.NetworkConfig, pid int) {
		w := left(its)
		Expect(w.netset().Down(config, pid)).To(Succeed())
		Expect(w.host().rules.String()).NotTo(Or(ContainSubstring("10.10.10.7 . 80"), ContainSubstring("published4 { 10.10.10.7")))
		Expect(w.host().rules.String()).To(ContainSubstring("ports4 { tcp . 82 : 10.10.10.8 . 80 }\n"))
		w.expectNothingOpen()
	},
		Entry("of whatever", netsetgo.NetworkConfig{}, 0),
		Entry("of another container that isn't connected", netsetgo.NetworkConfig{}, firstPid+2),
		Entry("by its id", netsetgo.NetworkConfig{ID: "gone"}, 0),
	)

	It("is swept where it had a MAC of its own, and else waits for who has its address next", func() {
		w := newWorld(3)
		chosen := netsetgo.NetworkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}
		Expect(w.netset().Up(chosen, firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 8}}, firstPid+2)).To(Succeed())
		w.end(w.container(1))
		w.end(w.container(2))
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, 0)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring("senders4 { 02:00:00:00:00:08 . 10.10.10.4, 6e:73:0a:0a:0a:03 . 10.10.10.3 }"))
	})

	It("is swept with the lock held alone", func() {
		w := left(its)
		w.at("nft delete element", func() error {
			Expect(w.locks).To(HaveLen(1))
			Expect(w.locks).To(ContainElement(exclusive))
			return nil
		})
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, 0)).To(Succeed())
	})

	It("is swept of a bridge that was deleted by hand, too", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		w.host().remove(w.host().named("tower"))
		Expect(w.host().rules.String()).To(ContainSubstring(`isolated { "tower" }`))
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.host().rules.String()).NotTo(ContainSubstring("tower"))
		Expect(w.host().rules.String()).To(ContainSubstring(`masqueraded { "brg0" }`))
	})

	It("isn't that of a bridge of which somebody changed the group", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		w.host().named("brg0").Group = 0
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(BeEmpty())
		Expect(w.netset().Down(tower(), firstPid+1)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring(`bridges { "brg0" }`))
	})

	It("is let be where its address has another holder by now, also of the port", func() {
		w := left(its)
		rules := w.host().rules.clone()
		Expect(w.netset().Up(publishing(its, port(80, "tcp")), firstPid+2)).To(Succeed())
		Expect(rules.String()).NotTo(Equal(w.host().rules.String()))
		before := w.host().rules.String()
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, 0)).To(Succeed())
		Expect(w.host().rules.String()).To(Equal(before))
	})

	It("lets a host link with its number be checked", func() {
		w := left(its)
		free := its
		free.SpoofCheck = netsetgo.No
		free.Publish = nil
		Expect(w.netset().Up(free, firstPid+2)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring("unchecked {"))
		w.end(w.container(3))
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, 0)).To(Succeed())
		Expect(w.host().rules.String()).NotTo(ContainSubstring("unchecked {"))
	})
})
