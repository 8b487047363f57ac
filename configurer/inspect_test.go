package configurer_test

import (
	"net"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

var _ = Describe("inspecting an attachment", Label("unit"), func() {
	It("reads it back from the kernel", func() {
		w := newWorld(1)
		config := everyOption()
		config.Namespace = w.open(w.container(1))
		DeferCleanup(config.Namespace.Close)
		Expect(w.netset().Up(config, 0)).To(Succeed())
		w.log = nil
		Expect(w.netset().Inspect(config, 0)).To(Equal(netsetgo.Attachment{
			Bridge:          netsetgo.Interface{Name: "tower", MAC: net.HardwareAddr{0x6e, 0x73, 10, 20, 0, 1}, MTU: 1400},
			HostLink:        netsetgo.Interface{Name: "v0", MAC: net.HardwareAddr{0xfe, 0x36, 0xe0, 0x3d, 0xcf, 0xe8}, MTU: 1400},
			Container:       netsetgo.Interface{Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, MTU: 1400},
			BridgeAddresses: []netip.Prefix{netip.MustParsePrefix("10.20.0.1/16"), netip.MustParsePrefix("fd20::1/64")},
			Leases: []netsetgo.Lease{
				{Address: netip.MustParseAddr("10.20.3.4"), Gateway: netip.MustParsePrefix("10.20.0.1/16")},
				{Address: netip.MustParseAddr("fd20::7"), Gateway: netip.MustParsePrefix("fd20::1/64")},
			},
			NAT: netsetgo.No, AllowInbound: netsetgo.Yes, Isolated: netsetgo.Yes, SpoofCheck: false,
			Publish: config.Publish,
			Sandbox: config.Namespace.Name(), ID: "web:1",
			Routes: []netsetgo.Route{
				{Destination: netip.MustParsePrefix("192.168.0.0/16"), Gateway: netip.MustParseAddr("10.20.0.9"), Metric: 7},
				{Destination: netip.MustParsePrefix("172.16.0.0/12"), Gateway: netip.MustParseAddr("10.20.0.1")},
			},
		}))
		Expect(w.log).To(BeEmpty())
		w.expectNothingOpen()
	})

	It("says that there is none", func() {
		w := newWorld(1)
		_, err := w.netset().Inspect(netsetgo.NetworkConfig{}, firstPid)
		Expect(err).To(MatchError(configurer.ErrNotFound))
		w.expectNothingOpen()
	})
})
