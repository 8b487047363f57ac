package configurer_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

var _ = Describe("listing attachments", Label("unit"), func() {
	// connected is a world in which c1 is connected, as web, and has sent and received.
	connected := func() *world {
		GinkgoHelper()
		w := newWorld(3)
		Expect(w.netset().Up(netsetgo.NetworkConfig{ID: "web"}, firstPid)).To(Succeed())
		hostLink := w.host().named("veth0")
		hostLink.Received, hostLink.Sent = 1000, 20
		w.conns, w.pinned, w.log = nil, nil, nil
		return w
	}
	whole := func() netsetgo.Listed {
		return netsetgo.Listed{
			Container: "web", Interface: "veth1", Addresses: []netip.Addr{netip.MustParseAddr("10.10.10.2")},
			MAC: net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 2}, Bridge: "brg0", HostLink: "veth0",
			State: netsetgo.StateUp, Received: 20, Sent: 1000,
		}
	}

	It("has nothing on a host where nothing is attached", func() {
		w := newWorld(1)
		list, err := w.netset().List()
		Expect(err).NotTo(HaveOccurred())
		Expect(list).To(BeEmpty())
		Expect(list).NotTo(BeNil(), "which JSON would show")
		w.expectNothingOpen()
	})

	It("has what the container sent, which is what the host link received", func() {
		w := connected()
		Expect(w.netset().List()).To(Equal([]netsetgo.Listed{whole()}))
	})

	It("has each of several, on whatever bridge", func() {
		w := connected()
		second := everyOption()
		second.ID = ""
		Expect(w.netset().Up(second, firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.netset().List()).To(Equal([]netsetgo.Listed{
			whole(),
			{
				Container: "net:[4026532001]", Interface: "eth0", Addresses: []netip.Addr{netip.MustParseAddr("10.20.3.4"), netip.MustParseAddr("fd20::7")},
				MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Bridge: "tower", HostLink: "v0", State: netsetgo.StateUp,
			},
			{
				Container: "net:[4026532002]", Interface: "veth1", Addresses: []netip.Addr{netip.MustParseAddr("10.10.10.3")},
				MAC: net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 3}, Bridge: "brg0", HostLink: "veth1", State: netsetgo.StateUp,
			},
		}))
	})

	It("asks again for a carrier that a list may not know yet", func() {
		w := connected()
		hostLink := w.host().named("veth0")
		hostLink.peer.Up = false
		w.onCall = func(_ int, doing string) (bool, error) {
			if doing == fmt.Sprintf("host: link %d", hostLink.Index) {
				hostLink.peer.Up = true
			}
			return true, nil
		}
		Expect(w.netset().List()).To(Equal([]netsetgo.Listed{whole()}))
	})

	DescribeTable("says what is wrong", func(change func(w *world, hostLink *device), differs func(listed *netsetgo.Listed)) {
		w, expected := connected(), whole()
		change(w, w.host().named("veth0"))
		differs(&expected)
		Expect(w.netset().List()).To(Equal([]netsetgo.Listed{expected}))
		w.expectNothingOpen()
	},
		Entry("the container's end is down", func(_ *world, hostLink *device) { hostLink.peer.Up = false },
			func(listed *netsetgo.Listed) { listed.State = netsetgo.StateNoCarrier }),
		Entry("the host link is down", func(_ *world, hostLink *device) { hostLink.Up = false },
			func(listed *netsetgo.Listed) { listed.State = netsetgo.StateNoCarrier }),
		Entry("it isn't complete", func(_ *world, hostLink *device) { hostLink.Altnames = hostLink.Altnames[:1] },
			func(listed *netsetgo.Listed) {
				listed.State, listed.Container, listed.Interface = netsetgo.StateIncomplete, "", ""
			}),
		Entry("it isn't complete, and down", func(_ *world, hostLink *device) {
			hostLink.Altnames, hostLink.peer.Up = hostLink.Altnames[:1], false
		}, func(listed *netsetgo.Listed) {
			listed.State, listed.Container, listed.Interface = netsetgo.StateIncomplete, "", ""
		}),
		Entry("it has nothing but the mark", func(_ *world, hostLink *device) { hostLink.Altnames = nil },
			func(listed *netsetgo.Listed) {
				listed.State, listed.Container, listed.Interface = netsetgo.StateIncomplete, "", ""
				listed.Addresses = []netip.Addr{}
			}),
		Entry("it has no id", func(_ *world, hostLink *device) {
			hostLink.Altnames = []string{hostLink.Altnames[0], hostLink.Altnames[2]}
		}, func(listed *netsetgo.Listed) { listed.Container = "net:[4026532001]" }),
		Entry("it has no address", func(_ *world, hostLink *device) { hostLink.Altnames = hostLink.Altnames[1:] },
			func(listed *netsetgo.Listed) { listed.Addresses = []netip.Addr{} }),
		Entry("it is on no bridge", func(_ *world, hostLink *device) { hostLink.Master = 0 },
			func(listed *netsetgo.Listed) { listed.Bridge = "" }),
		Entry("it is on another's bridge", func(w *world, hostLink *device) { hostLink.Master = w.host().addBridge("br7").Index },
			func(listed *netsetgo.Listed) { listed.Bridge = "br7" }),
		Entry("the container's end has another MAC", func(_ *world, hostLink *device) { hostLink.peer.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 7} },
			func(listed *netsetgo.Listed) { listed.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 7} }),
		Entry("the container's end has another name", func(_ *world, hostLink *device) { hostLink.peer.Name = "mine" },
			func(*netsetgo.Listed) {}),
		Entry("the host link has another name", func(_ *world, hostLink *device) { hostLink.Name = "mine" },
			func(listed *netsetgo.Listed) { listed.HostLink = "mine" }),
		Entry("the peer mayn't be looked at", func(w *world, _ *device) { w.at("peer of veth0", func() error { return errBroken }) },
			func(listed *netsetgo.Listed) { listed.MAC = nil }),
		Entry("the peer was put into the host's namespace", func(w *world, hostLink *device) {
			w.container(1).links, w.host().links = w.container(1).links[:1], append(w.host().links, hostLink.peer)
			hostLink.peer.in, hostLink.peer.Index = w.host(), 99
		}, func(*netsetgo.Listed) {}),
	)

	DescribeTable("leaves out a container that is gone", func(gone func(w *world, s *space)) {
		w := connected()
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		gone(w, w.container(2))
		Expect(w.netset().List()).To(Equal([]netsetgo.Listed{whole()}))
	},
		Entry("a moment ago", func(_ *world, s *space) { s.dying = true }),
		Entry("and its number with it", func(_ *world, s *space) { s.dying, s.unnamed = true, true }),
		Entry("with its links", func(w *world, s *space) { w.end(s) }),
	)

	It("leaves out what isn't netsetgo's", func() {
		w := connected()
		w.host().addBridge("theirs", "10.0.0.1/8")
		w.host().addOurs("idle")
		w.container(2).known = true
		peers(w.host().add(configurer.Link{Name: "veth7", Kind: "veth", Up: true, Master: 3, Altnames: []string{"netsetgo:a:e4e8:brg0:10.10.10.7"}}),
			w.container(2).add(configurer.Link{Name: "eth0", Kind: "veth"}))
		w.host().add(configurer.Link{Name: "marked", Kind: "dummy", Group: lease.Group})
		Expect(w.netset().List()).To(Equal([]netsetgo.Listed{whole()}))
	})

	It("changes nothing, takes no lock, and asks no more than it must", func() {
		w := connected()
		before := w.String()
		var asked []string
		w.onCall = func(_ int, doing string) (bool, error) {
			asked = append(asked, doing)
			return true, nil
		}
		_, err := w.netset().List()
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Join(asked, "\n")).To(Equal("connect host\nbridges\nveths\ncounters\npeer of veth0"))
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	})

	DescribeTable("fails when a list can't be had", func(doing, text string) {
		w := connected()
		w.at(doing, func() error { return errBroken })
		list, err := w.netset().List()
		Expect(err).To(MatchError(errBroken))
		Expect(err).To(MatchError(ContainSubstring(text)))
		Expect(list).To(BeNil())
		w.expectNothingOpen()
	},
		Entry("the host's", "connect host", ""),
		Entry("of bridges", "bridges", "listing bridges"),
		Entry("of host links", "veths", "listing host links"),
		Entry("of counters", "counters", "listing counters"),
	)
})
