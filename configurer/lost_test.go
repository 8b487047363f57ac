package configurer_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

var _ = Describe("a link whose maker got no answer", Label("unit"), func() {
	// Somebody else's takes the name just then: so ours wasn't made, and nothing but
	// the name would be left to undo it by.
	DescribeTable("stays, if it is somebody else's", func(making string, take func(w *world), name string) {
		w := newWorld(1)
		w.onCall = func(_ int, doing string) (bool, error) {
			if !strings.Contains(doing, making) {
				return true, nil
			}
			take(w)
			return false, configurer.ErrUnknown
		}
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(configurer.ErrUnknown))
		Expect(w.host().named(name)).NotTo(BeNil())
		w.expectNothingOpen()
	},
		Entry("a bridge", "type bridge", func(w *world) {
			w.host().add(configurer.Link{Name: "brg0", Kind: "bridge"})
		}, "brg0"),
		Entry("a pair with the container, not of netsetgo", "type veth", func(w *world) {
			w.container(1).known = true
			peers(w.host().add(configurer.Link{Name: "veth0", Kind: "veth"}), w.container(1).add(configurer.Link{Name: "x", Kind: "veth"}))
		}, "veth0"),
		Entry("a pair with the container, of another run", "type veth", func(w *world) {
			w.container(1).known = true
			peers(w.host().add(configurer.Link{Name: "veth0", Kind: "veth", Group: lease.Group, Altnames: []string{"netsetgo:a:f3c3:brg1:10.9.0.2"}}),
				w.container(1).add(configurer.Link{Name: "eth5", Kind: "veth"}))
		}, "veth0"),
	)
})
