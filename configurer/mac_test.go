package configurer_test

import (
	"net"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

var _ = Describe("a MAC that was chosen", Label("unit"), func() {
	chosen := func(last byte) netsetgo.NetworkConfig {
		return netsetgo.NetworkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, last}}
	}

	It("sends from no address that it stood for before", func() {
		w := newWorld(3)
		Expect(w.netset().Up(chosen(9), firstPid)).To(Succeed())
		Expect(w.netset().Up(chosen(8), firstPid+1)).To(Succeed())
		w.end(w.container(1))
		Expect(w.netset().Up(chosen(9), firstPid+2)).To(Succeed())
		Expect(w.host().rules.String()).To(ContainSubstring("senders4 { 02:00:00:00:00:08 . 10.10.10.3, 02:00:00:00:00:09 . 10.10.10.4 }"))
	})

	DescribeTable("is refused, and all is as before", func(config netsetgo.NetworkConfig, text string) {
		w := newWorld(2)
		Expect(w.netset().Up(chosen(9), firstPid)).To(Succeed())
		before := w.String()
		Expect(w.netset().Up(config, firstPid+1)).To(MatchError(ContainSubstring(text)))
		Expect(w.String()).To(Equal(before))
	},
		Entry("where another port of the bridge has it", chosen(9), "giving the container the MAC 02:00:00:00:00:09: port veth0 of the bridge has it; choose another -mac"),
		Entry("where it is derived from another address", netsetgo.NetworkConfig{MAC: net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 7}},
			"netsetgo derives such ones from other addresses; choose another -mac"),
	)

	It("is refused at once where a port has it that isn't netsetgo's", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		tap := w.host().add(configurer.Link{Name: "tap0", Master: w.host().named("brg0").Index})
		tap.macs = []net.HardwareAddr{chosen(9).MAC}
		before, looks := w.String(), 0
		w.onCall = func(_ int, doing string) (bool, error) {
			if doing == "macs of port tap0" {
				looks++
			}
			return true, nil
		}
		Expect(w.netset().Up(chosen(9), firstPid+1)).To(MatchError(ContainSubstring("port tap0 of the bridge has it; choose another -mac")))
		Expect(looks).To(Equal(1))
		Expect(w.String()).To(Equal(before))
	})

	DescribeTable("is waited for while its container is ending", func(last time.Duration, dies func(*space)) {
		w := newWorld(2)
		Expect(w.netset().Up(chosen(9), firstPid)).To(Succeed())
		dies(w.container(1))
		var began time.Time
		w.onCall = func(_ int, doing string) (bool, error) {
			switch {
			case doing != "macs of port veth0":
			case began.IsZero():
				began = time.Now()
			case time.Since(began) > last:
				w.end(w.container(1))
			}
			return true, nil
		}
		Expect(w.netset().Up(chosen(9), firstPid+1)).To(Succeed())
		Expect(began).NotTo(BeZero())
		Expect(w.host().rules.String()).To(ContainSubstring("senders4 { 02:00:00:00:00:09 . 10.10.10.3 }"))
		w.expectNothingOpen()
	},
		Entry("though it looks alive for a moment", time.Duration(0), func(*space) {}),
		Entry("without users, for as long as that takes", configurer.Grace*5/4, func(s *space) { s.dying = true }),
		Entry("without a number, for as long as that takes", configurer.Grace*5/4, func(s *space) { s.dying, s.unnamed = true, true }),
	)

	It("is waited for no longer than -timeout, and all is undone", func() {
		w := newWorld(2)
		Expect(w.netset().Up(chosen(9), firstPid)).To(Succeed())
		w.container(1).dying = true
		before := w.String()
		config := chosen(9)
		config.Deadline = time.Now().Add(20 * time.Millisecond)
		Expect(w.netset().Up(config, firstPid+1)).To(MatchError(configurer.ErrTimeout))
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	})

	It("may be the one that would be derived", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{MAC: net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 2}}, firstPid)).To(Succeed())
	})
})
