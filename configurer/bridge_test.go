package configurer_test

import (
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

var _ = Describe("the bridge", Label("unit"), func() {
	It("is used as it is when it is complete", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.log = nil
		Expect(w.netset().Up(netsetgo.NetworkConfig{MTU: 1300}, firstPid+1)).To(Succeed())
		Expect(w.log[0]).To(HavePrefix("ip link add veth1 "))
		Expect(w.host().named("brg0").MTU).To(Equal(1450))
	})

	DescribeTable("is completed where a killed run left it", func(leave func(bridge *device)) {
		w, whole := newWorld(1), newWorld(1)
		leave(w.host().addOurs("brg0"))
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(whole.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(whole.String()))
	},
		Entry("made", func(bridge *device) {
			bridge.MTU, bridge.silent, bridge.MAC, bridge.Settings = 1500, false, bridgeMAC, newSettings
		}),
		Entry("with its MTU", func(bridge *device) { bridge.MAC = bridgeMAC }),
		Entry("with its address", func(bridge *device) {
			bridge.MAC = bridgeMAC
			bridge.addresses = []netip.Prefix{netip.MustParsePrefix("10.10.10.1/24")}
		}),
		Entry("up, without its address", func(bridge *device) { bridge.MAC, bridge.Up = bridgeMAC, true }),
	)

	It("is never changed when somebody else made it", func() {
		w := newWorld(1)
		bridge := w.host().addBridge("brg0", "10.10.10.1/24")
		bridge.Alias = "netsetgo next=10.10.10.7 number=3"
		before := bridge.String()
		Expect(w.netset().Up(netsetgo.NetworkConfig{MTU: 1300}, firstPid)).To(Succeed())
		Expect(bridge.String()).To(Equal(before))
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(bridge.String()).To(Equal(before))
		Expect(w.host().links).To(HaveLen(3))
	})

	It("is refused where its alias was overwritten, until that is emptied", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, firstPid)).To(Succeed())
		bridge := w.host().named("brg0")
		bridge.Alias = "tower"
		before := w.String()
		refused := MatchError(ContainSubstring(`was overwritten with "tower"; empty it, and the flags of the next up decide that anew: ip link set dev brg0 alias ''`))
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(refused)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(refused)
		Expect(w.String()).To(Equal(before))
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{{
			What: "note of brg0", Asked: "netsetgo's", Is: `the alias "tower"`, Mend: "ip link set dev brg0 alias ''; netsetgo up",
		}}))
		bridge.Alias = ""
		Expect(w.netset().Up(netsetgo.NetworkConfig{Isolated: netsetgo.Yes}, firstPid+1)).To(Succeed())
		Expect(bridge.Alias).To(ContainSubstring(" policy=closed,nat,isolated"))
		w.expectNothingOpen()
	})

	It("isn't the last one while one is there whose alias was overwritten", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(tower(), firstPid+1)).To(Succeed())
		w.host().named("tower").Alias = "mine"
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring(`bridges { "tower" }`))
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeTrue())
		Expect(w.host().named("tower").Alias).To(Equal("mine"))
		Expect(w.netset().Down(tower(), firstPid+1)).To(Succeed())
		Expect(w.host().rules).To(BeEmpty())
		Expect(w.host().named(uplink).Settings.Forwarding).To(BeFalse())
	})

	It("is closed again where a rule's element says otherwise", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		rules := w.host().rules.String()
		inbound := firewall.Policy{Inbound: true}.Elements("brg0")[2]
		Expect(w.host().rules.apply(configurer.AddElements{Set: inbound.Set, Elements: []firewall.Element{inbound}})).To(Succeed())
		Expect(w.netset().Diagnose(netsetgo.NetworkConfig{})).To(Equal([]netsetgo.Difference{{
			What: "element of inbound", Asked: "none", Is: `"brg0"`, Mend: `nft 'delete element inet netsetgo inbound { "brg0" }'`,
		}}))
		By("being taken for another")
		masqueraded := firewall.Policy{NAT: true}.Elements("brg0")[2]
		Expect(w.host().rules.apply(configurer.DeleteElements{Set: masqueraded.Set, Elements: []firewall.Element{masqueraded}})).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.host().rules.String()).To(Equal(rules))
	})

	DescribeTable("is refused, with what to do, and nothing is changed",
		func(prepare func(host *space), texts ...string) {
			w := newWorld(1)
			prepare(w.host())
			before := w.String()
			err := w.netset().Up(netsetgo.NetworkConfig{}, firstPid)
			for _, text := range texts {
				Expect(err).To(MatchError(ContainSubstring(text)))
			}
			Expect(w.log).To(BeEmpty())
			Expect(w.String()).To(Equal(before))
			w.expectNothingOpen()
		},
		Entry("without an address", func(host *space) { host.addBridge("brg0") },
			"it hasn't the address 10.10.10.1/24, but none", "ip address add 10.10.10.1/24 dev brg0"),
		Entry("with another address", func(host *space) { host.addBridge("brg0", "10.0.0.1/8") },
			"it hasn't the address 10.10.10.1/24, but [10.0.0.1/8]", "ip address add 10.10.10.1/24 dev brg0"),
		Entry("with the address in another subnet", func(host *space) { host.addBridge("brg0", "10.10.10.1/16") },
			"ip address add 10.10.10.1/24 dev brg0"),
		Entry("ours, with another address", func(host *space) { host.addBridge("brg0", "10.0.0.1/8").Group = lease.Group },
			"ip address add 10.10.10.1/24 dev brg0"),
		Entry("somebody else's, down", func(host *space) { host.addBridge("brg0", "10.10.10.1/24").Up = false },
			"it is down", "ip link set brg0 up"),
		Entry("not a bridge", func(host *space) { host.add(configurer.Link{Name: "brg0", Kind: "dummy"}) },
			"brg0", `dummy "brg0"`, "-bridgeName"),
		Entry("a device of hardware", func(host *space) { host.add(configurer.Link{Name: "brg0"}) },
			`device "brg0"`, "-bridgeName"),
		Entry("another's second name", func(host *space) {
			host.addBridge("br7", "10.10.10.1/24").Altnames = []string{"brg0"}
		}, `bridge "br7"`, "-bridgeName"),
	)

	DescribeTable("may be made, or finished, by another run at the same time", func(doing string) {
		w := newWorld(2)
		w.at(doing, func() error {
			w.onCall = nil
			w.beside(func() error { return w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1) })
			return nil
		})
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.finish()
		w.expectWhole(w.container(1), 2)
		w.expectWhole(w.container(2), 2)
		w.expectNoAddressTwice()
		w.expectNothingOpen()
	},
		Entry("before it is made", "ip link add brg0"),
		Entry("before it is silenced", "ip link set brg0 addrgenmode"),
		Entry("before its address", "ip address add 10.10.10.1/24"),
		Entry("before it is up", "ip link set brg0 up"),
		Entry("before its policy", "lock exclusive"),
		Entry("before its rules", "nft add table"),
		Entry("before its uplink is open", "ip link set brg0 alias \"netsetgo number=0 policy=closed,nat was="),
		Entry("before the pair", "ip link add veth0"),
		Entry("before the lease", "ip link property add dev veth0 altname netsetgo:a:"),
		Entry("before the note", "ip link set brg0 alias"),
	)

	It("has no room for more than 1,023 ports, and says so", func() {
		w := newWorld(1)
		before := w.String()
		w.at("ip link add veth0", func() error { return configurer.ErrFull })
		err := w.netset().Up(netsetgo.NetworkConfig{}, firstPid)
		Expect(err).To(MatchError(configurer.ErrFull))
		Expect(err).To(MatchError(ContainSubstring("1,023")))
		Expect(w.String()).To(Equal(before))
	})

	It("is sought by name in one call, however many links there are", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		w.conns = nil
		for range 100 {
			w.host().add(configurer.Link{Name: "x" + strings.Repeat("y", len(w.host().links)%9)})
		}
		kernel := w.kernel()
		Expect(configurer.NewHostConfigurer(kernel).Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		for _, conn := range w.conns {
			Expect(conn.LinksCallCount()).To(BeZero(), "lists grow with the host")
			Expect(conn.PortsCallCount()).To(BeZero(), "lists grow with the host")
		}
	})
})

// bridgeMAC is the one derived from the bridge's address.
var bridgeMAC = lease.ContainerMAC(netip.MustParseAddr("10.10.10.1"))
