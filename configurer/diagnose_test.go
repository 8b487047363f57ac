package configurer_test

import (
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
