package configurer_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// killed is the panic that ends a run where a signal would.
type killed struct{}

// kill ends a run ahead of its nth call, without any undo, and says whether it got
// that far. The kernel then closes what the run held open.
func (w *world) kill(nth int, run func() error) (was bool, err error) {
	seen := 0
	w.onCall = func(int, string) (bool, error) {
		if seen++; seen == nth {
			panic(killed{})
		}
		return true, nil
	}
	defer func() {
		w.onCall = nil
		if reason := recover(); reason != nil {
			if reason != any(killed{}) {
				panic(reason) // a fault of the spec or of what it tests
			}
			was = true
			clear(w.locks)
			for _, file := range w.pinned {
				_ = file.Close()
			}
			w.conns, w.pinned = nil, nil
		}
	}()
	return false, run()
}

// attached are the host links of a container that are complete.
func (w *world) attached(s *space) []*device {
	var found []*device
	for _, d := range w.host().links {
		if lease.ReadOwner(d.Altnames).Inode == s.inode {
			found = append(found, d)
		}
	}
	return found
}

// expectWhole says that a container is connected, once, and that nothing more of
// ours is on the host than a bridge and the pairs of so many containers.
func (w *world) expectWhole(s *space, containers int) {
	GinkgoHelper()
	ends := w.attached(s)
	Expect(ends).To(HaveLen(1))
	peer := ends[0].peer
	Expect(peer.in).To(BeIdenticalTo(s))
	Expect(peer.Up).To(BeTrue())
	Expect(ends[0].Up).To(BeTrue())
	address := lease.ReadOwner(ends[0].Altnames).Addresses[0]
	Expect(peer.addresses).To(Equal([]netip.Prefix{netip.PrefixFrom(address, 24)}))
	Expect(peer.MAC).To(Equal(lease.ContainerMAC(address)))
	Expect(s.routes).To(HaveLen(1))
	ours := 0
	for _, d := range w.host().links {
		if d.Group == lease.Group {
			ours++
		}
	}
	Expect(ours).To(Equal(1 + containers))
}

var _ = Describe("a run that is killed", Label("unit"), func() {
	config := netsetgo.NetworkConfig{ID: "web"}
	// Once for each call: build, kill there, and look.
	everywhere := func(prepare func(*world), look func(w *world, nth int)) {
		GinkgoHelper()
		for nth := 1; ; nth++ {
			w := newWorld(2)
			w.container(1).up(loopback) // lo stays up
			prepare(w)
			was, err := w.kill(nth, func() error { return w.netset().Up(config, firstPid) })
			if !was {
				Expect(err).NotTo(HaveOccurred())
				Expect(nth).To(BeNumerically(">", 30), "there must be calls to be killed at")
				return
			}
			look(w, nth)
		}
	}
	alone := func(*world) {}
	beside := func(w *world) { Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed()) }

	It("can be run again, wherever that was", func() {
		everywhere(alone, func(w *world, nth int) {
			Expect(w.netset().Up(config, firstPid)).To(Succeed(), "killed at call %d", nth)
			w.expectWhole(w.container(1), 1)
			w.expectNothingOpen()
		})
	})

	It("can be run again beside another container, which isn't touched", func() {
		everywhere(beside, func(w *world, nth int) {
			other := w.attached(w.container(2))[0].String()
			Expect(w.netset().Up(config, firstPid)).To(Succeed(), "killed at call %d", nth)
			w.expectWhole(w.container(1), 2)
			Expect(w.attached(w.container(2))[0].String()).To(Equal(other))
		})
	})

	It("can be taken down, wherever that was", func() {
		fresh := newWorld(2)
		fresh.container(1).up(loopback)
		everywhere(alone, func(w *world, nth int) {
			Expect(w.netset().Down(config, firstPid)).To(Succeed(), "killed at call %d", nth)
			Expect(w.String()).To(Equal(fresh.String()), "killed at call %d", nth)
			w.expectNothingOpen()
		})
	})

	It("leaves nothing but a bridge when the container ends, which the next down takes", func() {
		everywhere(alone, func(w *world, nth int) {
			w.end(w.container(1))
			Expect(w.netset().Down(config, 0)).To(Succeed(), "killed at call %d", nth)
			Expect(w.host().links).To(HaveLen(2), "killed at call %d:\n%s", nth, w)
		})
	})

	It("can be down, and down is run again", func() {
		fresh := newWorld(2)
		fresh.container(1).up(loopback)
		for nth := 1; ; nth++ {
			w := newWorld(2)
			Expect(w.netset().Up(config, firstPid)).To(Succeed())
			w.conns, w.pinned = nil, nil
			was, err := w.kill(nth, func() error { return w.netset().Down(config, firstPid) })
			if !was {
				Expect(err).NotTo(HaveOccurred())
				Expect(nth).To(BeNumerically(">", 10), "there must be calls to be killed at")
				return
			}
			Expect(w.netset().Down(config, firstPid)).To(Succeed(), "killed at call %d", nth)
			Expect(w.String()).To(Equal(fresh.String()), "killed at call %d", nth)
		}
	})
})

// A walk in random order through what can happen to four containers, whose seed is
// the one that ginkgo prints.
var _ = Describe("any order of runs", Label("unit"), func() {
	It("keeps what is attached whole, and leaves nothing at the end", func() {
		const containers = 4
		random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 0))
		w := newWorld(containers)
		for _, s := range w.spaces[1:] {
			s.up(loopback)
		}
		before := w.String()
		connected := make([]bool, containers+1)
		for step := range 600 {
			n := 1 + random.IntN(containers)
			s := w.container(n)
			config := netsetgo.NetworkConfig{ID: fmt.Sprintf("c%d", n)}
			up := func() error { return w.netset().Up(config, s.pid) }
			down := func() error { return w.netset().Down(config, s.pid) }
			done := ""
			switch random.IntN(5) {
			case 0:
				done = "up"
				Expect(up()).To(Succeed(), "step %d", step)
				connected[n] = true
			case 1:
				done = "down"
				Expect(down()).To(Succeed(), "step %d", step)
				connected[n] = false
			case 2:
				done = "up, killed"
				was, err := w.kill(1+random.IntN(75), up)
				Expect(err).NotTo(HaveOccurred())
				connected[n] = connected[n] || !was
			case 3:
				done = "down, killed"
				_, err := w.kill(1+random.IntN(30), down)
				Expect(err).NotTo(HaveOccurred())
				connected[n] = len(w.attached(s)) > 0
			case 4:
				done = "up, failing"
				nth := 1 + random.IntN(75)
				w.failing(nth, func(doing string) bool { return !remembers(doing) }, errBroken, false)
				err := up()
				w.onCall = nil
				connected[n] = connected[n] || err == nil
			}
			By(fmt.Sprintf("%d: %s of c%d", step, done, n))
			w.expectNothingOpen()
			for n, is := range connected[1:] {
				Expect(w.attached(w.container(1+n))).To(HaveLen(map[bool]int{true: 1}[is]), "container %d:\n%s", 1+n, w)
			}
			w.expectNoAddressTwice()
		}
		for n := range containers {
			Expect(w.netset().Down(netsetgo.NetworkConfig{}, w.container(1+n).pid)).To(Succeed())
		}
		Expect(w.String()).To(Equal(before))
	})
})

func (w *world) expectNoAddressTwice() {
	GinkgoHelper()
	var all []netip.Prefix
	for _, s := range w.spaces[1:] {
		for _, d := range s.links {
			if d.Index != loopback {
				all = append(all, d.addresses...)
			}
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	Expect(slices.Compact(slices.Clone(all))).To(Equal(all))
}
