package configurer_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/dryrun"
)

type runOf func(netset *netsetgo.Netset) error

func upOf(config netsetgo.NetworkConfig) runOf {
	return func(netset *netsetgo.Netset) error { return netset.Up(config, firstPid) }
}

func downOf(config netsetgo.NetworkConfig) runOf {
	return func(netset *netsetgo.Netset) error { return netset.Down(config, firstPid) }
}

// halfway leaves a pair with its lease in c1, as a run does that is killed before it
// comes to the container's side.
func halfway(containers int) *world {
	GinkgoHelper()
	w := newWorld(containers)
	Expect(configurer.NewHostConfigurer(w.kernel()).Apply(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
	return w
}

// expectDryRun tries a run, and then does it: what is tried changes nothing, is in
// nobody's way, and says all that is then done.
func (w *world) expectDryRun(run runOf) (done *transcript, err error) {
	GinkgoHelper()
	before := w.String()
	kernel := w.kernel()
	netset, tried := traced(dryrun.Kernel(kernel))
	dry := run(netset)
	Expect(w.String()).To(Equal(before), "a dry run changes nothing")
	Expect(kernel.TryLockCallCount()).To(BeZero(), "a dry run takes no lock")
	for _, conn := range w.conns {
		Expect(conn.DoCallCount()).To(BeZero(), "a dry run asks for no change")
	}
	w.expectNothingOpen()

	netset, done = traced(w.kernel())
	err = run(netset)
	for _, event := range *done {
		Expect(event.Why).NotTo(BeEmpty(), event.Command)
	}
	if err != nil {
		Expect(dry).To(MatchError(unindexed(err)), "tried:\n%s\ndone:\n%s", tried, done)
	} else {
		Expect(dry).NotTo(HaveOccurred())
		Expect(tried.unnumbered()).To(Equal(done.unnumbered()))
	}
	w.expectNothingOpen()
	return done, err
}

// unindexed is an error but for the indices of links: those that are only thought of
// have others.
func unindexed(err error) OmegaMatcher {
	index := regexp.MustCompile(`\blink [0-9]+\b`)
	return MatchRegexp("^" + index.ReplaceAllString(regexp.QuoteMeta(err.Error()), `link -?[0-9]+`) + "$")
}

var _ = Describe("a dry run", Label("unit"), func() {
	// Besides those of failure_test.go.
	more := map[string]func() *world{
		"where an address is taken": func() *world {
			w := newWorld(1)
			w.host().add(configurer.Link{Name: "x", Altnames: []string{"netsetgo:a:9a37:brg0:10.10.10.2", "netsetgo:a:9ea4:brg0:10.10.10.3"}})
			return w
		},
		"where a killed run left a pair": func() *world { return unfinished(1) },
		"where a killed run left a pair, beside another container": func() *world {
			w := unfinished(2)
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
			return w
		},
		"where a killed run left a bridge that is up": func() *world {
			w := newWorld(1)
			w.host().addOurs("brg0").Up = true
			return w
		},
		"where the peer of an attachment is elsewhere": func() *world {
			w := newWorld(2)
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
			peer, other := w.container(1).named("veth1"), w.container(2)
			w.container(1).links = w.container(1).links[:1]
			w.container(1).routes = nil
			other.links, peer.in, other.known, other.last = append(other.links, peer), other, true, peer.Index
			return w
		},
		"where ports can't be locked": func() *world {
			w := newWorld(1)
			w.host().cantLock = true
			return w
		},
		"without a default route": func() *world {
			w := newWorld(1)
			w.host().routes = nil
			return w
		},
	}
	maps.Copy(more, situations)
	// In an order, because every process of a parallel run must see the same specs.
	for _, situation := range slices.Sorted(maps.Keys(more)) {
		for _, asked := range slices.Sorted(maps.Keys(requests)) {
			build, request := more[situation], requests[asked]
			It("says what up and down do, and changes nothing, "+situation+" "+asked, func() {
				w := build()
				w.conns, w.pinned = nil, nil
				done, err := w.expectDryRun(upOf(request()))
				Expect(err).NotTo(HaveOccurred())
				Expect(len(*done)).To(BeNumerically(">", 8))
				done, err = w.expectDryRun(downOf(request()))
				Expect(err).NotTo(HaveOccurred())
				Expect(*done).NotTo(BeEmpty())
			})
		}
	}

	It("says how a new bridge is set", func() {
		w := newWorld(1)
		netset, tried := traced(dryrun.Kernel(w.kernel()))
		Expect(netset.Up(dual(), firstPid)).To(Succeed())
		Expect(tried.made()).To(And(
			ContainSubstring("sysctl -w net/ipv6/conf/brg0/accept_ra=0"), ContainSubstring("sysctl -w net/ipv6/conf/brg0/force_forwarding=1")))
	})

	It("says what down of what a killed run left does", func() {
		done, err := unfinished(1).expectDryRun(downOf(netsetgo.NetworkConfig{}))
		Expect(err).NotTo(HaveOccurred())
		Expect(done.made()).To(Equal(`
nft 'delete element bridge netsetgo senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }'  # it is for the container alone
ip link delete dev veth0  # takes its peer, names, addresses and routes along
sysctl -w net/ipv4/conf/eth0/forwarding=0  # as it was before the first container
nft 'delete table inet netsetgo'  # no bridge is left that it is for
nft 'delete table bridge netsetgo'  # no bridge is left that it is for
ip link delete dev brg0  # no port is left on it
`[1:]))
	})

	It("says each thing once where a killed run's pair is on another bridge than is asked for", func() {
		w := halfway(1)
		w.conns, w.pinned = nil, nil
		config := everyOption()
		config.ContainerInterface = "veth1"
		done, err := w.expectDryRun(upOf(config))
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Count(done.String(), "ip address add 10.20.0.1/16")).To(Equal(1))
	})

	It("says of a container that is gone what down does", func() {
		for _, gone := range []func(*space){
			func(s *space) { s.dying, s.pid = true, 0 },
			func(s *space) { s.dying, s.unnamed, s.pid = true, true, 0 },
		} {
			w := newWorld(1)
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
			gone(w.container(1))
			w.host().addOurs("idle1")
			w.host().addOurs("idle2")
			w.conns, w.pinned = nil, nil
			done, err := w.expectDryRun(downOf(netsetgo.NetworkConfig{}))
			Expect(err).NotTo(HaveOccurred())
			Expect(strings.Count(done.made(), "ip link delete")).To(Equal(4))
		}
	})

	It("has nothing to say where all is done", func() {
		w := newWorld(2)
		done, err := w.expectDryRun(downOf(netsetgo.NetworkConfig{}))
		Expect(err).NotTo(HaveOccurred())
		Expect(*done).To(BeEmpty())
		_, err = w.expectDryRun(upOf(everyOption()))
		Expect(err).NotTo(HaveOccurred())
		done, err = w.expectDryRun(upOf(everyOption()))
		Expect(err).NotTo(HaveOccurred())
		Expect(*done).To(BeEmpty())
	})

	DescribeTable("fails as the run does", func(prepare func(w *world), config netsetgo.NetworkConfig, text string) {
		w := newWorld(2)
		prepare(w)
		w.conns, w.pinned = nil, nil
		before := w.String()
		_, err := w.expectDryRun(upOf(config))
		Expect(err).To(MatchError(ContainSubstring(text)))
		Expect(w.String()).To(Equal(before))
	},
		Entry("on a full bridge", func(w *world) {
			bridge := w.host().addBridge("brg0", "10.10.10.1/24")
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed(), "whose rules stay")
			for n := range maxPorts - 1 {
				w.host().add(configurer.Link{Name: fmt.Sprintf("p%d", n), Master: bridge.Index})
			}
		}, netsetgo.NetworkConfig{VethNamePrefix: "v"}, "1,023"),
		Entry("where there is a default route", func(w *world) {
			w.container(1).add(configurer.Link{Name: "eth7", Up: true})
			w.container(1).routes = []configurer.Route{{Route: netsetgo.Route{Destination: netip.MustParsePrefix("0.0.0.0/0")}, Link: 2}}
		}, netsetgo.NetworkConfig{}, "use -defaultRoute=false"),
		Entry("where a route is there", func(w *world) {
			w.container(1).add(configurer.Link{Name: "eth7", Up: true})
			w.container(1).routes = []configurer.Route{{Route: netsetgo.Route{Destination: netip.MustParsePrefix("192.168.0.0/16"), Metric: 7}, Link: 2}}
		}, everyOption(), "exists already"),
		Entry("where the interface is another's", func(w *world) {
			w.container(1).add(configurer.Link{Name: "veth1"})
		}, netsetgo.NetworkConfig{}, "isn't netsetgo's"),
		Entry("where the interface is a second name of lo", func(w *world) {
			w.container(1).named("lo").Altnames = []string{"veth1"}
		}, netsetgo.NetworkConfig{}, "isn't netsetgo's"),
		Entry("where the bridge hasn't the address", func(w *world) {
			w.host().addBridge("brg0", "10.0.0.1/8")
		}, netsetgo.NetworkConfig{}, "ip address add 10.10.10.1/24 dev brg0"),
		Entry("where the bridge's name is a second one", func(w *world) {
			w.host().addBridge("br7", "10.10.10.1/24").Altnames = []string{"brg0"}
		}, netsetgo.NetworkConfig{}, `bridge "br7"`),
		Entry("where the subnet is in use", func(w *world) {
			w.host().addBridge("br7", "10.10.10.9/24")
		}, netsetgo.NetworkConfig{}, `the host reaches 10.10.10.0/24 by bridge "br7"`),
		Entry("where the address is taken", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		}, netsetgo.NetworkConfig{ContainerIP: net.IPv4(10, 10, 10, 2)}, "choose another -containerAddress"),
		Entry("where the id is taken", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{ID: "web"}, firstPid+1)).To(Succeed())
		}, netsetgo.NetworkConfig{ID: "web"}, "choose another -id"),
		Entry("where the container is connected otherwise", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		}, netsetgo.NetworkConfig{MTU: 1300}, "it is connected already"),
		Entry("without a process", func(w *world) { w.container(1).pid = 0 }, netsetgo.NetworkConfig{}, "no such process"),
	)

	It("fails when any call fails, and lets go of all", func() {
		beside := func() *world {
			w := newWorld(2)
			Expect(w.netset().Up(everyOption(), firstPid+1)).To(Succeed())
			w.conns, w.pinned = nil, nil
			return w
		}
		connected := func() *world {
			w := newWorld(1)
			Expect(w.netset().Up(everyOption(), firstPid)).To(Succeed())
			w.conns, w.pinned = nil, nil
			return w
		}
		for _, each := range []struct {
			build func() *world
			run   runOf
			// goesOn says that what fails late is done again.
			goesOn bool
		}{
			{func() *world { return newWorld(1) }, upOf(everyOption()), false},
			{beside, upOf(netsetgo.NetworkConfig{ContainerInterface: "eth0"}), false},
			{connected, downOf(everyOption()), true},
		} {
			failed := 0
			for nth := 1; ; nth++ {
				w := each.build()
				before := w.String()
				broken := w.failing(nth, anyCall, errBroken, false)
				netset, _ := traced(dryrun.Kernel(w.kernel()))
				err := each.run(netset)
				Expect(w.String()).To(Equal(before))
				w.expectNothingOpen()
				if *broken == "" {
					Expect(err).NotTo(HaveOccurred())
					Expect(failed).To(BeNumerically(">", 6), "there must be calls to fail")
					break
				}
				if err == nil && each.goesOn {
					continue
				}
				failed++
				Expect(err).To(MatchError(errBroken), "where this failed: %s", *broken)
			}
		}
	})
})
