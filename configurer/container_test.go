package configurer_test

import (
	"net"
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

// hosted is a world whose host's side is done, and c1's isn't.
func hosted(config netsetgo.NetworkConfig) (*world, *configurer.Container) {
	GinkgoHelper()
	w := newWorld(1)
	Expect(configurer.NewHostConfigurer(w.kernel()).Apply(config, firstPid)).To(Succeed())
	w.log = nil
	return w, configurer.NewContainerConfigurer(w.kernel())
}

var _ = Describe("the container's side", Label("unit"), func() {
	It("reads the lease from the host link", func() {
		w, container := hosted(netsetgo.NetworkConfig{ContainerIP: net.ParseIP("10.10.10.77")})
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.container(1).named("veth1").addresses).To(ConsistOf(netip.MustParsePrefix("10.10.10.77/24")))
		Expect(w.container(1).named("veth1").MAC.String()).To(Equal("6e:73:0a:0a:0a:4d"))
		w.expectNothingOpen()
	})

	DescribeTable("fails before it changes anything",
		func(before func(w *world), config netsetgo.NetworkConfig, text string) {
			w, container := hosted(netsetgo.NetworkConfig{})
			before(w)
			state := w.String()
			Expect(container.Apply(config, firstPid)).To(MatchError(ContainSubstring(text)))
			Expect(w.log).To(BeEmpty())
			Expect(w.String()).To(Equal(state))
			w.expectNothingOpen()
		},
		Entry("without the host's side", func(w *world) { w.host().remove(w.host().named("veth0")) },
			netsetgo.NetworkConfig{}, "looking for veth1 in the container"),
		Entry("without a lease", func(w *world) { w.host().named("veth0").Altnames = nil },
			netsetgo.NetworkConfig{}, "run the host's side first"),
		Entry("with a host's side that was killed", func(w *world) { w.host().named("veth0").Up = false },
			netsetgo.NetworkConfig{}, "run the host's side first"),
		Entry("with the lease of another address", func(*world) {},
			netsetgo.NetworkConfig{ContainerIP: net.ParseIP("10.10.10.9")}, "run the host's side first"),
		Entry("with a link of another's", func(w *world) { w.host().named("veth0").Group = 0 },
			netsetgo.NetworkConfig{}, "isn't netsetgo's"),
		Entry("with a default route there already", func(w *world) {
			w.container(1).routes = []configurer.Route{{Route: netsetgo.Route{Destination: netip.MustParsePrefix("0.0.0.0/0")}, Link: 7}}
		}, netsetgo.NetworkConfig{}, "there is one already; use -defaultRoute=false"),
	)

	It("adds no default route where none is asked for, whatever is there", func() {
		w, container := hosted(netsetgo.NetworkConfig{})
		theirs := configurer.Route{Route: netsetgo.Route{Destination: netip.MustParsePrefix("0.0.0.0/0")}, Link: 7}
		w.container(1).routes = []configurer.Route{theirs}
		Expect(container.Apply(netsetgo.NetworkConfig{DefaultRoute: netsetgo.No}, firstPid)).To(Succeed())
		Expect(w.container(1).routes).To(ConsistOf(theirs))
	})

	It("changes nothing where it is done already", func() {
		w, container := hosted(netsetgo.NetworkConfig{})
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.log = nil
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.log).To(BeEmpty())
	})

	It("waits until the carrier is seen, but not for long", func() {
		w, container := hosted(netsetgo.NetworkConfig{})
		w.unseen = map[string]int{"veth": 5, "bridge": 5}
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.unseen).To(Equal(map[string]int{"veth": 0, "bridge": 0}))
		w, container = hosted(netsetgo.NetworkConfig{})
		const never = 1 << 30
		w.unseen = map[string]int{"veth": never, "bridge": never}
		began := time.Now()
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(time.Since(began)).To(BeNumerically("<", 5*time.Second))
		Expect(w.unseen).To(HaveEach(BeNumerically("<", never-5)))
	})

	It("leaves lo alone where it is up", func() {
		w, container := hosted(netsetgo.NetworkConfig{})
		w.container(1).up(loopback)
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.log[0]).To(Equal("ip -n c1 link set veth1 addrgenmode none"))
	})

	It("undoes only those addresses of lo that came with its going up", func() {
		w, container := hosted(netsetgo.NetworkConfig{})
		w.container(1).named("veth1").silent = true // which isn't undone, but goes with the link
		w.container(1).named("lo").addresses = []netip.Prefix{netip.MustParsePrefix("10.9.9.9/32")}
		before := w.String()
		w.at("ip -n c1 route add", func() error { return errBroken })
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(errBroken))
		Expect(w.String()).To(Equal(before))
	})

	It("takes back alone what it did, whichever call fails", func() {
		for nth := 1; ; nth++ {
			w, container := hosted(netsetgo.NetworkConfig{})
			w.container(1).named("veth1").silent = true
			before := w.String()
			broken := w.failing(nth, anyCall, errBroken, false)
			err := container.Apply(netsetgo.NetworkConfig{}, firstPid)
			w.expectNothingOpen()
			if *broken == "" {
				Expect(err).NotTo(HaveOccurred())
				Expect(nth).To(BeNumerically(">", 15), "there must be calls to fail")
				return
			}
			Expect(err).To(MatchError(errBroken))
			Expect(w.String()).To(Equal(before))
		}
	})

	It("works by index, whatever names a process of the container gives", func() {
		w, container := hosted(netsetgo.NetworkConfig{})
		w.at("ip -n c1 link set lo up", func() error {
			w.container(1).named("veth1").Name = "mine"
			w.container(1).add(configurer.Link{Name: "veth1", Kind: "dummy"})
			return nil
		})
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.container(1).named("mine").addresses).To(HaveLen(1))
		Expect(w.container(1).named("veth1").addresses).To(BeEmpty())
		Expect(w.container(1).named("veth1").Up).To(BeFalse())
	})
})

var _ = Describe("a container that swaps its interface meanwhile", Label("unit"), func() {
	DescribeTable("is found out, and all is undone", func(swap func(w *world)) {
		w := newWorld(1)
		w.container(1).up(loopback)
		w.at("ip -n c1 route add", func() error {
			w.at("host: link", func() error { swap(w); return nil })
			return nil
		})
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(configurer.ErrSwapped))
		Expect(w.host().links).To(HaveLen(2), w.String())
		Expect(w.attached(w.container(1))).To(BeEmpty())
		w.expectNothingOpen()
	},
		Entry("removed", func(w *world) { w.host().remove(w.host().named("veth0")) }),
		Entry("replaced by a dummy of the same number", func(w *world) {
			c := w.container(1)
			index := c.named("veth1").Index
			w.host().remove(c.named("veth1"))
			c.last = index - 1
			c.add(configurer.Link{Name: "veth1", Kind: "dummy"})
		}),
	)

	It("is found out by the host link's peer, which is another", func() {
		w, container := hosted(netsetgo.NetworkConfig{})
		w.at("ip -n c1 route add", func() error {
			other := w.container(1).add(configurer.Link{Name: "other", Kind: "veth"})
			w.host().named("veth0").peer = other
			return nil
		})
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(configurer.ErrSwapped))
		Expect(w.attached(w.container(1))).To(BeEmpty())
	})

	It("is found out by the host link's peer, which is in another namespace", func() {
		w, container := hosted(netsetgo.NetworkConfig{})
		elsewhere := w.space("c2")
		w.at("ip -n c1 route add", func() error {
			peer := w.container(1).named("veth1")
			elsewhere.links, peer.in = append(elsewhere.links, peer), elsewhere
			return nil
		})
		Expect(container.Apply(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(configurer.ErrSwapped))
		Expect(w.attached(w.container(1))).To(BeEmpty())
	})

	It("is found out when it removes it just before the owner is written", func() {
		w := newWorld(1)
		w.at("ip link property add dev veth0 altname netsetgo:n:", func() error {
			w.host().remove(w.host().named("veth0"))
			return nil
		})
		err := w.netset().Up(netsetgo.NetworkConfig{}, firstPid)
		Expect(err).To(MatchError(configurer.ErrSwapped))
		Expect(err).NotTo(MatchError(ContainSubstring("undoing")), "what is gone is undone")
		Expect(w.String()).To(Equal(newWorld(1).String()))
	})
})
