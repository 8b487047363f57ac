package configurer_test

import (
	"net"
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

// What check_test.go has is changed; this is asked for otherwise, or not there.
var _ = Describe("checking an attachment, otherwise", Label("unit"), func() {
	lines := func(found []netsetgo.Difference) string {
		var text strings.Builder
		for _, each := range found {
			text.WriteString(each.What + ": " + each.Asked + ", not " + each.Is + "\n")
		}
		return text.String()
	}

	DescribeTable("finds what is asked for otherwise", func(ask func(config *netsetgo.NetworkConfig), text string) {
		w := newWorld(1)
		Expect(w.netset().Up(checked(), firstPid)).To(Succeed())
		config := checked()
		ask(&config)
		found, err := w.expectCheck(config)
		Expect(err).NotTo(HaveOccurred())
		Expect(lines(found)).To(Equal(text))
	},
		Entry("an id that came along, which isn't asked for", func(config *netsetgo.NetworkConfig) { config.ID, config.IDIsHint = "db", true }, ""),
		Entry("an id", func(config *netsetgo.NetworkConfig) { config.ID = "db" },
			"id of veth0: \"db\", not \"web\"\n"),
		Entry("a prefix", func(config *netsetgo.NetworkConfig) { config.VethNamePrefix, config.ContainerInterface = "v1", "veth1" },
			"name of the host link: v1 and a number, not veth0\n"),
		Entry("a MAC", func(config *netsetgo.NetworkConfig) { config.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 9} },
			"MAC of veth1 in the container: 02:00:00:00:00:09, not 6e:73:0a:0a:0a:02\n"+
				"MAC known of port veth0: 02:00:00:00:00:09, not missing\n"+
				"element of senders4: 02:00:00:00:00:09 . 10.10.10.2, not missing\n"),
		Entry("an MTU", func(config *netsetgo.NetworkConfig) { config.MTU = 1300 },
			"MTU of veth0: 1300, not 1450\nMTU of veth1 in the container: 1300, not 1450\n"),
		Entry("an address", func(config *netsetgo.NetworkConfig) { config.ContainerIP = net.IPv4(10, 10, 10, 9) },
			"lease of veth0: 10.10.10.9, not 10.10.10.2\n"+
				"MAC of veth1 in the container: 6e:73:0a:0a:0a:09, not 6e:73:0a:0a:0a:02\n"+
				"address of veth1 in the container: 10.10.10.9/24, not [10.10.10.2/24]\n"+
				"MAC known of port veth0: 6e:73:0a:0a:0a:09, not missing\n"+
				"element of senders4: 6e:73:0a:0a:0a:09 . 10.10.10.9, not missing\n"),
		Entry("no default route", func(config *netsetgo.NetworkConfig) { config.DefaultRoute = netsetgo.No },
			"route 0.0.0.0/0 via 10.10.10.1 of the container: none, not present\n"),
		Entry("another default route", func(config *netsetgo.NetworkConfig) {
			config.DefaultRoute = netsetgo.No
			config.Routes = []netsetgo.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Metric: 7}}
		}, "route 0.0.0.0/0 via 10.10.10.1 metric 7 of the container: present, not missing\n"+
			"route 0.0.0.0/0 via 10.10.10.1 of the container: none, not present\n"),
		Entry("the default route, as a route", func(config *netsetgo.NetworkConfig) {
			config.DefaultRoute = netsetgo.No
			config.Routes = append(config.Routes, netsetgo.Route{Destination: netip.MustParsePrefix("0.0.0.0/0")})
		}, ""),
		Entry("another bridge, which isn't there", func(config *netsetgo.NetworkConfig) { config.BridgeName = "tower" },
			"bridge tower: present, not missing\nlease of veth0: one of tower, not one of brg0\n"),
		Entry("another subnet", func(config *netsetgo.NetworkConfig) {
			config.BridgeIP, config.Subnet = everyOption().BridgeIP, everyOption().Subnet
		}, "address of brg0: 10.20.0.1/16, not [10.10.10.1/24]\n"+
			"lease of veth0: an address of 10.20.0.0/16, not 10.10.10.2\n"+
			"address of veth1 in the container: 10.10.10.2/16, not [10.10.10.2/24]\n"+
			"route 0.0.0.0/0 via 10.20.0.1 of the container: present, not missing\n"+
			"route 192.168.0.0/16 via 10.20.0.1 metric 7 of the container: present, not missing\n"),
		Entry("another interface", func(config *netsetgo.NetworkConfig) { config.ContainerInterface = "eth0" },
			"attachment of eth0: present, not missing\n"),
	)

	DescribeTable("goes by the larger MTU of the two ends where the host has no default route", func(change func(bridge, hostLink *device), text string) {
		w := newWorld(1)
		w.host().routes = nil
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		change(w.host().named("brg0"), w.host().named("veth0"))
		found, err := w.expectCheck(netsetgo.NetworkConfig{})
		Expect(err).NotTo(HaveOccurred())
		Expect(lines(found)).To(Equal(text))
	},
		Entry("the host link's is changed", func(_, hostLink *device) { hostLink.MTU = 1300 },
			"MTU of veth0: 1500, not 1300\n"),
		Entry("the bridge is gone", func(bridge, _ *device) { bridge.in.remove(bridge) },
			"bridge brg0: present, not missing\n"),
		Entry("the bridge is gone, and the interface's is changed", func(bridge, hostLink *device) {
			bridge.in.remove(bridge)
			hostLink.peer.MTU = 1300
		}, "bridge brg0: present, not missing\nMTU of veth1 in the container: 1500, not 1300\n"),
	)

	It("tells how a default route goes that nobody asked for", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		found, err := w.expectCheck(netsetgo.NetworkConfig{DefaultRoute: netsetgo.No})
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(ConsistOf(HaveField("Mend", inContainer+"ip route delete default via 10.10.10.1 dev veth1")))
	})

	It("leaves alone a default route by a link that isn't netsetgo's", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{DefaultRoute: netsetgo.No}, firstPid)).To(Succeed())
		uplink := w.container(1).add(configurer.Link{Name: "eth7", Up: true})
		w.container(1).routes = []configurer.Route{{Route: netsetgo.Route{Destination: netip.MustParsePrefix("0.0.0.0/0")}, Link: uplink.Index}}
		Expect(w.expectCheck(netsetgo.NetworkConfig{DefaultRoute: netsetgo.No})).To(BeEmpty())
	})

	It("mends an interface that was renamed only by connecting anew", func() {
		w := newWorld(1)
		Expect(w.netset().Up(checked(), firstPid)).To(Succeed())
		peer := w.container(1).named("veth1")
		peer.Name, peer.Up = "it's me", false
		found, err := w.expectCheck(checked())
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(HaveLen(2))
		Expect(found).To(HaveEach(HaveField("Mend", "")))
	})

	It("finds all that is missing of what a killed run left", func() {
		w := halfway(1)
		found, err := w.expectCheck(netsetgo.NetworkConfig{})
		Expect(err).NotTo(HaveOccurred())
		Expect(lines(found)).To(Equal(`
state of lo in the container: up, not down
name netsetgo:n:d479:veth1:4026532001 of veth0: present, not missing
state of veth1 in the container: up, not down
address of veth1 in the container: 10.10.10.2/24, not none
route 0.0.0.0/0 via 10.10.10.1 of the container: present, not missing
`[1:]))
	})

	DescribeTable("refuses to compare with what no command would bring", func(prepare func(w *world), config netsetgo.NetworkConfig, says string) {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		prepare(w)
		_, err := w.expectCheck(config)
		Expect(err).To(MatchError(ContainSubstring(says)))
	},
		Entry("a bridge that is none", func(w *world) { w.host().add(configurer.Link{Name: "x", Kind: "veth"}) },
			netsetgo.NetworkConfig{BridgeName: "x"}, `that is a name of the veth "x"; choose another -bridgeName`),
		Entry("a bridge by another of its names", func(w *world) { w.host().addBridge("mine").Altnames = []string{"x"} },
			netsetgo.NetworkConfig{BridgeName: "x"}, `that is a name of the bridge "mine"; choose another -bridgeName`),
		Entry("a bridge whose subnet others are on", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		}, netsetgo.NetworkConfig{BridgeName: "x"}, `by bridge "brg0"; choose another -bridgeAddress`),
		Entry("a bridge that was renamed, with others on it", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
			w.host().named("brg0").Name = "mine"
		}, netsetgo.NetworkConfig{}, `by bridge "mine"; choose another -bridgeAddress`),
		Entry("somebody else's address", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{ID: "db"}, firstPid+1)).To(Succeed())
		}, netsetgo.NetworkConfig{ContainerIP: net.IPv4(10, 10, 10, 3)}, `container "db" holds it, by host link veth1`),
		Entry("somebody else's id", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{ID: "db"}, firstPid+1)).To(Succeed())
		}, netsetgo.NetworkConfig{ID: "db"}, `container "db" holds it, by host link veth1`),
	)

	It("keeps the remedies that connecting anew needs", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		hostLink := w.host().named("veth0")
		hostLink.Name, hostLink.Group, hostLink.MTU = "mine", 7, 1300
		w.container(1).named("lo").Up = false
		found, err := w.expectCheck(netsetgo.NetworkConfig{})
		Expect(err).NotTo(HaveOccurred())
		var remedies []string
		for _, difference := range found {
			remedies = append(remedies, difference.Mend)
		}
		Expect(remedies).To(Equal([]string{inContainer + "ip link set dev lo up", "ip link set dev mine group 7238503", "", ""}))
	})

	DescribeTable("finds that there is none", func(prepare func(w *world)) {
		w := newWorld(2)
		prepare(w)
		Expect(w.expectCheck(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{
			{What: "attachment of veth1", Asked: "present", Is: "missing"},
		}))
	},
		Entry("where nothing is", func(*world) {}),
		Entry("where another container is connected", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		}),
		Entry("where another of its interfaces is connected", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{ContainerInterface: "eth0"}, firstPid)).To(Succeed())
		}),
		Entry("where the interface is another's", func(w *world) {
			w.container(1).add(configurer.Link{Name: "veth1", Kind: "dummy"})
		}),
		Entry("where the interface is a second name of lo", func(w *world) {
			w.container(1).named("lo").Altnames = []string{"veth1"}
		}),
		Entry("where the interface's pair is another's", func(w *world) {
			w.container(1).known = true
			peers(w.host().add(configurer.Link{Name: "veth0", Kind: "veth"}), w.container(1).add(configurer.Link{Name: "veth1", Kind: "veth"}))
		}),
	)

	It("fails without a process", func() {
		w := newWorld(1)
		w.container(1).pid = 7
		_, err := w.expectCheck(netsetgo.NetworkConfig{})
		Expect(err).To(MatchError(configurer.ErrNoProcess))
	})

	DescribeTable("fails when any call fails, rather than answer wrongly", func(prepare func(w *world)) {
		for nth := 1; ; nth++ {
			w := newWorld(1)
			Expect(w.netset().Up(checked(), firstPid)).To(Succeed())
			prepare(w)
			broken := w.failing(nth, anyCall, errBroken, false)
			found, err := w.expectCheck(checked())
			if *broken == "" {
				Expect(err).NotTo(HaveOccurred())
				Expect(nth).To(BeNumerically(">", 15), "there must be calls to fail")
				return
			}
			Expect(err).To(MatchError(errBroken), "where this failed: %s", *broken)
			Expect(found).To(BeNil())
		}
	},
		Entry("of an attachment that is whole", func(*world) {}),
		Entry("of one without an owner", func(w *world) { w.host().named("veth0").Altnames = nil }),
		Entry("of one that is off its bridge", func(w *world) { w.host().named("veth0").Master = 0 }),
	)
})
