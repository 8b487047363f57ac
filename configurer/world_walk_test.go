package configurer_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

// A walk in random order, whose seed is the one that ginkgo prints.
var _ = Describe("dry runs in any order", Label("unit"), func() {
	It("say what is done then", func() {
		random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 1))
		w := newWorld(3)
		outcomes := map[string]int{}
		for step := range 400 {
			pid, config := randomRequest(random)
			done := "up"
			run := func(netset *netsetgo.Netset) error { return netset.Up(config, pid) }
			if random.IntN(3) == 0 {
				done = "down"
				run = func(netset *netsetgo.Netset) error { return netset.Down(config, pid) }
			}
			By(fmt.Sprintf("%d: %s of %d: %+v", step, done, pid, config))
			if random.IntN(4) == 0 { // a run like it is killed before
				config.Publish = nil // in what order stale ports are swept, nobody says
				_, _ = w.kill(1+random.IntN(60), func() error { return run(w.netset()) })
				w.conns, w.pinned = nil, nil
			}
			made, err := w.expectDryRun(run)
			switch {
			case err != nil:
				outcomes["failed"]++
			case len(*made) == 0:
				outcomes["nothing"]++
			default:
				outcomes[done]++
			}
		}
		Expect(outcomes).To(HaveLen(4), "each must be walked through: %v", outcomes)
	})
})

// randomRequest is of one of three containers and two interfaces, each with its own
// bridge. No two ask for one address or id, which would be waited for.
func randomRequest(random *rand.Rand) (pid int, config netsetgo.NetworkConfig) {
	maybe := func() bool { return random.IntN(3) == 0 }
	n := random.IntN(3)
	if maybe() {
		config = everyOption()
		config.ContainerIP, config.ContainerIP6, config.ID, config.MTU, config.MAC, config.Routes = nil, nil, "", 0, nil, nil
		config.Publish = nil
		if maybe() {
			config.Publish = []netsetgo.Publish{{HostPort: 8000 + n, ContainerPort: 80, Protocol: []string{"tcp", "udp"}[random.IntN(2)]}}
		}
	}
	if maybe() {
		first := config.WithDefaults().Families()[0].Gateway.Addr().As4()
		config.ContainerIP = net.IPv4(first[0], first[1], first[2], byte(50+n))
	}
	if maybe() {
		config.ID = fmt.Sprintf("c%d", n)
	}
	if maybe() {
		config.MTU = 1400
	}
	if maybe() {
		config.MAC = net.HardwareAddr{2, 0, 0, 0, 0, byte(n)}
	}
	if maybe() {
		config.Routes = []netsetgo.Route{{Destination: netip.MustParsePrefix("172.16.0.0/12"), Metric: random.IntN(3)}}
	}
	config.DefaultRoute = []netsetgo.Choice{netsetgo.Default, netsetgo.Yes, netsetgo.No, netsetgo.No}[random.IntN(4)]
	return firstPid + n, config
}
