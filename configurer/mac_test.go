package configurer_test

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
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

	It("may be the one that would be derived", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{MAC: net.HardwareAddr{0x6e, 0x73, 10, 10, 10, 2}}, firstPid)).To(Succeed())
	})
})
