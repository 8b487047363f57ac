package configurer_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

// checked is what most specs ask for: a name and a route more than the defaults.
func checked() netsetgo.NetworkConfig {
	return netsetgo.NetworkConfig{
		ID:     "web",
		Routes: []netsetgo.Route{{Destination: netip.MustParsePrefix("192.168.0.0/16"), Metric: 7}},
	}
}

// expectCheck compares, which changes nothing, is in nobody's way, and lets go of all.
func (w *world) expectCheck(config netsetgo.NetworkConfig) ([]netsetgo.Difference, error) {
	GinkgoHelper()
	before := w.String()
	w.conns, w.pinned = nil, nil
	kernel := w.kernel()
	found, err := configurer.NewHostConfigurer(kernel).Check(config, firstPid)
	Expect(w.String()).To(Equal(before))
	Expect(kernel.TryLockCallCount()).To(BeZero(), "a lock would make a file")
	for _, conn := range w.conns {
		Expect(conn.DoCallCount()).To(BeZero())
	}
	w.expectNothingOpen()
	return found, err
}

// inContainer is a command for c1.
const inContainer = "nsenter --net=/dev/./null "

var _ = Describe("checking an attachment", Label("unit"), func() {
	connected := func(config netsetgo.NetworkConfig) *world {
		GinkgoHelper()
		w := newWorld(2)
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		return w
	}
	without := func(names []string, mark string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasPrefix(name, mark) })
	}
	none := BeEquivalentTo([]netsetgo.Difference{}) // which isn't nil: JSON would show

	DescribeTable("finds no difference right after up", func(prepare func(w *world), config netsetgo.NetworkConfig) {
		w := newWorld(2)
		prepare(w)
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		Expect(w.expectCheck(config)).To(none)
	},
		Entry("with the defaults", func(*world) {}, netsetgo.NetworkConfig{}),
		Entry("with every option", func(*world) {}, everyOption()),
		Entry("with an id and a route", func(*world) {}, checked()),
		Entry("with an id that is cut", func(*world) {}, netsetgo.NetworkConfig{ID: strings.Repeat("a", 200)}),
		Entry("with an MTU that isn't the bridge's", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		}, netsetgo.NetworkConfig{MTU: 1300}),
		Entry("where the host has no default route", func(w *world) { w.host().routes = nil }, netsetgo.NetworkConfig{}),
		Entry("where the first name and address are taken", func(w *world) {
			w.host().add(configurer.Link{Name: "veth0", Altnames: []string{"netsetgo:a:9a37:brg0:10.10.10.2"}})
		}, netsetgo.NetworkConfig{}),
		Entry("on somebody else's bridge", func(w *world) {
			w.host().addBridge("brg0", "192.168.7.1/24", "10.10.10.1/24").MAC = net.HardwareAddr{2, 0, 0, 0, 0, 7}
		}, netsetgo.NetworkConfig{}),
		Entry("beside other addresses, names and routes", func(w *world) {
			c := w.container(1)
			c.named("lo").addresses = []netip.Prefix{netip.MustParsePrefix("10.9.9.9/32")}
			c.named("lo").Altnames = []string{"mine"}
			c.routes = []configurer.Route{{Route: netsetgo.Route{Destination: netip.MustParsePrefix("10.7.0.0/16")}, Link: loopback}}
		}, netsetgo.NetworkConfig{}),
	)

	It("compares with the defaults what was made with an option, and finds the difference", func() {
		w := connected(netsetgo.NetworkConfig{MTU: 1400, DefaultRoute: netsetgo.No})
		Expect(w.expectCheck(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{
			{What: "MTU of veth0", Asked: "1450", Is: "1400", Mend: "ip link set dev veth0 mtu 1450"},
			{What: "MTU of veth1 in the container", Asked: "1450", Is: "1400", Mend: inContainer + "ip link set dev veth1 mtu 1450"},
			{
				What: "route 0.0.0.0/0 via 10.10.10.1 of the container", Asked: "present", Is: "missing",
				Mend: inContainer + "ip route replace default via 10.10.10.1 dev veth1 proto static",
			},
		}))
	})

	type changed struct {
		w                      *world
		bridge, hostLink, peer *device
		lo                     *device
	}
	DescribeTable("finds what was changed", func(change func(at changed), what, asked, is, mend string) {
		w := connected(checked())
		hostLink, c := w.host().named("veth0"), w.container(1)
		change(changed{w, w.host().named("brg0"), hostLink, hostLink.peer, c.named("lo")})
		Expect(w.expectCheck(checked())).To(Equal([]netsetgo.Difference{{What: what, Asked: asked, Is: is, Mend: mend}}))
	},
		Entry("the bridge down", func(at changed) { at.bridge.Up = false },
			"state of brg0", "up", "down", "ip link set dev brg0 up"),
		Entry("the bridge's MAC", func(at changed) { at.bridge.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 7} },
			"MAC of brg0", "6e:73:0a:0a:0a:01", "02:00:00:00:00:07", "ip link set dev brg0 address 6e:73:0a:0a:0a:01"),
		Entry("the bridge's address taken", func(at changed) { at.bridge.addresses = nil },
			"address of brg0", "10.10.10.1/24", "none", "ip address add 10.10.10.1/24 broadcast 10.10.10.255 dev brg0"),
		Entry("the bridge's address", func(at changed) { at.bridge.addresses[0] = netip.MustParsePrefix("10.10.10.1/16") },
			"address of brg0", "10.10.10.1/24", "[10.10.10.1/16]", "ip address add 10.10.10.1/24 broadcast 10.10.10.255 dev brg0"),
		Entry("the bridge gone", func(at changed) { at.w.host().remove(at.bridge) },
			"bridge brg0", "present", "missing", ""),
		Entry("the bridge renamed", func(at changed) { at.bridge.Name = "mine" },
			"bridge brg0", "present", "missing", ""),
		Entry("the bridge's group", func(at changed) { at.bridge.Group = 0 },
			"group of brg0", "7238503", "0", "ip link set dev brg0 group 7238503"),
		Entry("the host link off the bridge", func(at changed) { at.hostLink.Master = 0 },
			"master of veth0", "brg0", "none", "ip link set dev veth0 master brg0"),
		Entry("the host link on another bridge", func(at changed) { at.hostLink.Master = at.w.host().addBridge("br7").Index },
			"master of veth0", "brg0", "br7", "ip link set dev veth0 master brg0"),
		Entry("the host link down", func(at changed) { at.hostLink.Up = false },
			"state of veth0", "up", "down", "ip link set dev veth0 up"),
		Entry("the host link's MTU", func(at changed) { at.hostLink.MTU = 1300 },
			"MTU of veth0", "1450", "1300", "ip link set dev veth0 mtu 1450"),
		Entry("the host link's group", func(at changed) { at.hostLink.Group = 7 },
			"group of veth0", "7238503", "7", "ip link set dev veth0 group 7238503"),
		Entry("the host link's name", func(at changed) { at.hostLink.Name = "mine" },
			"name of the host link", "veth and a number", "mine", ""),
		Entry("the host link's lease", func(at changed) { at.hostLink.Altnames = without(at.hostLink.Altnames, "netsetgo:a:") },
			"lease of veth0", "an address of 10.10.10.0/24", "missing", ""),
		Entry("the host link's id", func(at changed) { at.hostLink.Altnames = without(at.hostLink.Altnames, "netsetgo:c:") },
			"name netsetgo:c:ef2b:veth1:web of veth0", "present", "missing", "ip link property add dev veth0 altname netsetgo:c:ef2b:veth1:web"),
		Entry("the host link's owner", func(at changed) { at.hostLink.Altnames = without(at.hostLink.Altnames, "netsetgo:n:") },
			"name netsetgo:n:d479:veth1:4026532001 of veth0", "present", "missing",
			"ip link property add dev veth0 altname netsetgo:n:d479:veth1:4026532001"),
		Entry("the interface down", func(at changed) { at.peer.Up = false },
			"state of veth1 in the container", "up", "down", inContainer+"ip link set dev veth1 up"),
		Entry("the interface's MTU", func(at changed) { at.peer.MTU = 1300 },
			"MTU of veth1 in the container", "1450", "1300", inContainer+"ip link set dev veth1 mtu 1450"),
		Entry("the interface's MAC", func(at changed) { at.peer.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 7} },
			"MAC of veth1 in the container", "6e:73:0a:0a:0a:02", "02:00:00:00:00:07", inContainer+"ip link set dev veth1 address 6e:73:0a:0a:0a:02"),
		Entry("the interface's address taken", func(at changed) { at.peer.addresses = nil },
			"address of veth1 in the container", "10.10.10.2/24", "none", inContainer+"ip address add 10.10.10.2/24 broadcast 10.10.10.255 dev veth1"),
		Entry("the interface's address", func(at changed) { at.peer.addresses[0] = netip.MustParsePrefix("10.10.10.3/24") },
			"address of veth1 in the container", "10.10.10.2/24", "[10.10.10.3/24]", ""),
		Entry("the interface's first address", func(at changed) {
			at.peer.addresses = append([]netip.Prefix{netip.MustParsePrefix("10.10.10.3/24")}, at.peer.addresses...)
		}, "address of veth1 in the container", "10.10.10.2/24", "[10.10.10.3/24 10.10.10.2/24]", ""),
		Entry("the interface's name", func(at changed) { at.peer.Name = "mine" },
			"name of veth1 in the container", "veth1", "mine", ""),
		Entry("lo down", func(at changed) { at.lo.Up = false },
			"state of lo in the container", "up", "down", inContainer+"ip link set dev lo up"),
		Entry("lo's address", func(at changed) { at.lo.addresses = nil },
			"address of lo in the container", "127.0.0.1/8", "none", inContainer+"ip address add 127.0.0.1/8 dev lo"),
		Entry("the default route taken", func(at changed) { at.peer.in.routes = at.peer.in.routes[1:] },
			"route 0.0.0.0/0 via 10.10.10.1 of the container", "present", "missing",
			inContainer+"ip route replace default via 10.10.10.1 dev veth1 proto static"),
		Entry("a route taken", func(at changed) { at.peer.in.routes = at.peer.in.routes[:1] },
			"route 192.168.0.0/16 via 10.10.10.1 metric 7 of the container", "present", "missing",
			inContainer+"ip route replace 192.168.0.0/16 via 10.10.10.1 dev veth1 proto static metric 7"),
		Entry("a route by another way", func(at changed) { at.peer.in.routes[1].Gateway = netip.MustParseAddr("10.10.10.9") },
			"route 192.168.0.0/16 via 10.10.10.1 metric 7 of the container", "present", "missing",
			inContainer+"ip route replace 192.168.0.0/16 via 10.10.10.1 dev veth1 proto static metric 7"),
		Entry("a route by another link", func(at changed) { at.peer.in.routes[1].Link = loopback },
			"route 192.168.0.0/16 via 10.10.10.1 metric 7 of the container", "present", "missing",
			inContainer+"ip route replace 192.168.0.0/16 via 10.10.10.1 dev veth1 proto static metric 7"),
		Entry("the container let go of it", func(at changed) { at.w.host().remove(at.peer) },
			"attachment of veth1", "present", "missing", ""),
		Entry("the interface in another namespace", func(at changed) {
			other := at.w.container(2)
			other.known, other.links = true, append(other.links, at.peer)
			at.peer.in.links, at.peer.in = at.peer.in.links[:1], other
		}, "attachment of veth1", "present", "missing", ""),
		Entry("all that the host link goes by", func(at changed) { at.hostLink.Group, at.hostLink.Altnames = 0, nil },
			"attachment of veth1", "present", "missing", ""),
	)
})
