package configurer_test

import (
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

// smallest is a bridge with room for one container.
func smallest() netsetgo.NetworkConfig {
	ip, subnet, err := net.ParseCIDR("10.1.1.1/30")
	Expect(err).NotTo(HaveOccurred())
	return netsetgo.NetworkConfig{BridgeIP: ip, Subnet: subnet}
}

// leavingAfter lets a container die that is dying, ahead of the nth try to take
// the name that it holds.
func (w *world) leavingAfter(tries int, name string, s *space) {
	seen := 0
	w.onCall = func(_ int, doing string) (bool, error) {
		if changes(doing) && strings.Contains(doing, name) {
			if seen++; seen == tries {
				w.end(s)
			}
		}
		return true, nil
	}
}

var _ = Describe("what only one container can have", Label("unit"), func() {
	withAddress := func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{ContainerIP: net.ParseIP("10.10.10.7")} }
	withID := func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{ID: "web"} }
	const address, id = "netsetgo:a:e4e8:brg0:10.10.10.7", "netsetgo:c:ef2b:veth1:web"
	// held is a world in which c2 has it.
	held := func(request func() netsetgo.NetworkConfig) *world {
		GinkgoHelper()
		w := newWorld(2)
		config := request()
		config.ID = "web"
		Expect(w.netset().Up(config, firstPid+1)).To(Succeed())
		w.log = nil
		return w
	}

	DescribeTable("is refused while its holder lives, who is named",
		func(request func() netsetgo.NetworkConfig, doing string) {
			w := held(request)
			before := w.String()
			err := w.netset().Up(request(), firstPid)
			Expect(err).To(MatchError(And(
				ContainSubstring(doing), ContainSubstring(`container "web" holds it, by host link veth0`))))
			Expect(w.String()).To(Equal(before))
			w.expectNothingOpen()
		},
		Entry("an address", withAddress, "leasing address 10.10.10.7"),
		Entry("an id", withID, `taking the id "web" for veth1`),
	)

	It("is refused while a link of somebody else's has its name", func() {
		w := newWorld(1)
		w.host().named(uplink).Altnames = []string{address}
		before := w.String()
		Expect(w.netset().Up(withAddress(), firstPid)).To(MatchError(ContainSubstring("by host link eth0")))
		Expect(w.String()).To(Equal(before))
	})

	DescribeTable("is waited for while its holder is dying",
		func(request func() netsetgo.NetworkConfig, name string, dies func(*space)) {
			w := held(request)
			dies(w.container(2))
			w.leavingAfter(3, name, w.container(2))
			Expect(w.netset().Up(request(), firstPid)).To(Succeed())
			Expect(w.host().named(name).peer.in).To(BeIdenticalTo(w.container(1)))
			w.expectNothingOpen()
		},
		Entry("an address, without users", withAddress, address, func(s *space) { s.dying = true }),
		Entry("an address, without a number", withAddress, address, func(s *space) { s.dying, s.unnamed = true, true }),
		Entry("an id, without users", withID, id, func(s *space) { s.dying = true }),
		Entry("an id, without a number", withID, id, func(s *space) { s.dying, s.unnamed = true, true }),
	)

	DescribeTable("is waited for no longer than -timeout, and all is undone",
		func(request func() netsetgo.NetworkConfig) {
			w := held(request)
			w.container(2).dying = true
			before := w.String()
			config := request()
			config.Deadline = time.Now().Add(20 * time.Millisecond)
			Expect(w.netset().Up(config, firstPid)).To(MatchError(configurer.ErrTimeout))
			Expect(w.String()).To(Equal(before))
			w.expectNothingOpen()
		},
		Entry("an address", withAddress),
		Entry("an id", withID),
	)

	It("is found free where its holder goes before it is looked at", func() {
		w := held(withAddress)
		w.at("host: link "+address, func() error { w.end(w.container(2)); return nil })
		Expect(w.netset().Up(withAddress(), firstPid)).To(Succeed())
	})

	It("fails with what the kernel says when the holder can't be looked at", func() {
		w := held(withAddress)
		before := w.String()
		w.at("host: link "+address, func() error { return errBroken })
		Expect(w.netset().Up(withAddress(), firstPid)).To(MatchError(errBroken))
		Expect(w.String()).To(Equal(before))
	})

	It("can be claimed again by the container's side, when that failed at its last step", func() {
		w := newWorld(1)
		host, container := configurer.NewHostConfigurer(w.kernel()), configurer.NewContainerConfigurer(w.kernel())
		Expect(host.Apply(withID(), firstPid)).To(Succeed())
		w.at("ip link property add dev veth0 altname netsetgo:n:", func() error { return errBroken })
		Expect(container.Apply(withID(), firstPid)).To(MatchError(errBroken))
		Expect(container.Apply(withID(), firstPid)).To(Succeed())
	})
})

var _ = Describe("the next free address", Label("unit"), func() {
	It("is another where somebody takes the first meanwhile, and the MAC follows it", func() {
		w := newWorld(2)
		w.at("ip link property add dev veth0 altname netsetgo:a:", func() error {
			w.onCall = nil
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
			return nil
		})
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.container(1).named("veth1").String()).To(ContainSubstring("address 6e:73:0a:0a:0a:03"))
		Expect(w.log).To(ContainElement("ip -n c1 link set veth1 address 6e:73:0a:0a:0a:03"))
		w.expectWhole(w.container(1), 2)
	})

	It("isn't there in a subnet that is full, which is said", func() {
		w := newWorld(2)
		Expect(w.netset().Up(smallest(), firstPid+1)).To(Succeed())
		before := w.String()
		err := w.netset().Up(smallest(), firstPid)
		Expect(err).To(MatchError(ContainSubstring("leasing an address: all of 10.1.1.0/30 are taken; use a wider -bridgeAddress")))
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	})

	It("is waited for in a full subnet while one of its holders is dying", func() {
		w := newWorld(2)
		Expect(w.netset().Up(smallest(), firstPid+1)).To(Succeed())
		w.container(2).dying = true
		w.leavingAfter(3, "netsetgo:a:1096:brg0:10.1.1.2", w.container(2))
		Expect(w.netset().Up(smallest(), firstPid)).To(Succeed())
		Expect(w.attached(w.container(1))).To(HaveLen(1))
	})

	It("is waited for no longer than -timeout, and all is undone", func() {
		w := newWorld(2)
		Expect(w.netset().Up(smallest(), firstPid+1)).To(Succeed())
		w.container(2).dying = true
		before := w.String()
		config := smallest()
		config.Deadline = time.Now().Add(20 * time.Millisecond)
		Expect(w.netset().Up(config, firstPid)).To(MatchError(configurer.ErrTimeout))
		Expect(w.String()).To(Equal(before))
	})

	It("is sought at most 1,024 times", func() {
		w := newWorld(1)
		tries := 0
		w.onCall = func(_ int, doing string) (bool, error) {
			if changes(doing) && strings.Contains(doing, "netsetgo:a:") {
				tries++
				return false, configurer.ErrExists
			}
			if strings.HasPrefix(doing, "host: link netsetgo:a:") {
				return false, errBroken // so that nobody is waited for
			}
			return true, nil
		}
		ip, subnet, err := net.ParseCIDR("10.1.0.1/16")
		Expect(err).NotTo(HaveOccurred())
		Expect(w.netset().Up(netsetgo.NetworkConfig{BridgeIP: ip, Subnet: subnet}, firstPid)).To(MatchError(errBroken))
		Expect(tries).To(BeNumerically("~", 1024, 1))
	})
})
