package configurer_test

import (
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
	"github.com/netsetgo/netsetgo/configurerfakes"
)

// unfinished leaves a pair in c1 as a run does that is killed ahead of its last
// change.
func unfinished(containers int) *world {
	GinkgoHelper()
	w := newWorld(containers)
	w.container(1).up(loopback)
	w.onCall = func(_ int, doing string) (bool, error) {
		if changes(doing) && strings.Contains(doing, "netsetgo:n:") {
			panic(killed{})
		}
		return true, nil
	}
	func() {
		defer func() { Expect(recover()).To(Equal(killed{})) }()
		_ = w.netset().Up(netsetgo.NetworkConfig{}, firstPid)
	}()
	clear(w.locks)
	w.onCall, w.conns, w.pinned, w.log = nil, nil, nil, nil
	return w
}

var _ = Describe("the names of the pair", Label("unit"), func() {
	It("go past a name that a link of the host has", func() {
		w := newWorld(1)
		w.host().add(configurer.Link{Name: "veth0"})
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.expectWhole(w.container(1), 1)
		Expect(w.attached(w.container(1))[0].Name).To(MatchRegexp(`^veth[1-9][0-9]*$`))
	})

	It("are given up when very many are taken", func() {
		w := newWorld(1)
		before := w.String()
		tries := 0
		w.onCall = func(_ int, doing string) (bool, error) {
			if strings.Contains(doing, "type veth") {
				tries++
				return false, configurer.ErrExists
			}
			return true, nil
		}
		err := w.netset().Up(netsetgo.NetworkConfig{}, firstPid)
		Expect(err).To(MatchError(ContainSubstring("use another -vethNamePrefix")))
		Expect(tries).To(Equal(64))
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	})

	DescribeTable("are refused where the container has that of the peer, and nothing is followed",
		func(take func(w *world)) {
			w := newWorld(2)
			take(w)
			before := w.String()
			err := w.netset().Up(netsetgo.NetworkConfig{}, firstPid)
			Expect(err).To(MatchError(configurer.ErrForeign))
			Expect(err).To(MatchError(ContainSubstring("veth1")))
			Expect(w.String()).To(Equal(before))
			w.expectNothingOpen()
		},
		Entry("as the name of a link", func(w *world) {
			w.container(1).add(configurer.Link{Name: "veth1"})
		}),
		Entry("as a second name of lo", func(w *world) {
			w.container(1).named("lo").Altnames = []string{"veth1"}
		}),
		Entry("as a second name of an attachment's peer", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{ContainerInterface: "eth5"}, firstPid)).To(Succeed())
			w.container(1).named("eth5").Altnames = []string{"veth1"}
		}),
		Entry("as the name of a link above one with the number of the attachment's host link", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{ContainerInterface: "eth5"}, firstPid)).To(Succeed())
			w.container(1).add(configurer.Link{Name: "veth1", Kind: "macvlan", Peer: w.container(1).named("eth5").peer.Index})
		}),
		Entry("as the name of a pair with a link of the host's that isn't ours", func(w *world) {
			peers(w.host().add(configurer.Link{Name: "x", Kind: "veth"}), w.container(1).add(configurer.Link{Name: "veth1", Kind: "veth"}))
			w.container(1).known = true
		}),
		Entry("as the name of a pair whose other end has the number of one of ours", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
			c := w.container(1)
			for c.last < w.host().named("veth0").Index {
				c.add(configurer.Link{Name: "filler"})
			}
			c.links[3].Name, c.links[3].Index = "inner", w.host().named("veth0").Index
			peers(c.links[3], c.add(configurer.Link{Name: "veth1", Kind: "veth"}))
		}),
		Entry("as the name of a pair whose other end has the number of another container's, same peer", func(w *world) {
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
			end := w.host().named("veth0")
			c := w.container(1)
			c.known = true
			c.add(configurer.Link{Name: "veth1", Kind: "veth"}).Peer = end.Index
			Expect(c.named("veth1").Index).To(Equal(end.peer.Index))
		}),
	)

	It("are given up when an interface in the way keeps being somebody's finished one", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		end := w.attached(w.container(1))[0]
		end.Altnames = []string{lease.NamespaceName("veth1", 7)}
		before := w.String()
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(configurer.ErrAgain))
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	})
})

// peers makes a pair of two links.
func peers(a, b *device) { a.peer, b.peer = b, a }

var _ = Describe("two runs for one container", Label("unit"), func() {
	DescribeTable("make one attachment, when the other comes meanwhile", func(doing string) {
		w, whole := newWorld(1), newWorld(1)
		Expect(whole.netset().Up(netsetgo.NetworkConfig{ID: "web"}, firstPid)).To(Succeed())
		w.at(doing, func() error {
			w.onCall = nil
			w.beside(func() error { return w.netset().Up(netsetgo.NetworkConfig{ID: "web"}, firstPid) })
			return nil
		})
		Expect(w.netset().Up(netsetgo.NetworkConfig{ID: "web"}, firstPid)).To(Succeed())
		w.finish()
		Expect(w.String()).To(Equal(whole.String()))
		w.expectNothingOpen()
	},
		Entry("at once", "pin"),
		Entry("before it looks for the bridge", "host: link brg0"),
		Entry("before the bridge", "ip link add brg0"),
		Entry("before the pair", "ip link add veth0"),
	)

	It("leave the attachment to the other, where it finishes while its lock is waited for", func() {
		w := unfinished(1)
		other := &configurerfakes.FakeLock{}
		w.locks[other] = shared
		tries := 0
		w.onCall = func(_ int, doing string) (bool, error) {
			if doing == "lock exclusive" {
				if tries++; tries == 3 {
					delete(w.locks, other)
					end := w.container(1).named("veth1").peer
					end.Altnames = append(end.Altnames, lease.NamespaceName("veth1", firstInode))
				}
			}
			return true, nil
		}
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(tries).To(Equal(3))
		Expect(w.log).NotTo(ContainElement(ContainSubstring("delete")))
		w.expectWhole(w.container(1), 1)
		w.expectNothingOpen()
	})

	It("don't wait for each other longer than -timeout", func() {
		w := unfinished(1)
		other := &configurerfakes.FakeLock{}
		w.locks[other] = shared
		before := w.String()
		config := netsetgo.NetworkConfig{Deadline: time.Now().Add(10 * time.Millisecond)}
		err := w.netset().Up(config, firstPid)
		Expect(err).To(MatchError(configurer.ErrTimeout))
		Expect(err).To(MatchError(configurer.ErrBusy))
		Expect(w.String()).To(Equal(before))
		delete(w.locks, other)
		w.expectNothingOpen()
	})
})

// cutIn lets another run for c1 begin and end where a run lets go of the lock to take it alone:
// it takes for left by a killed run what that one made so far.
func (w *world) cutIn(config netsetgo.NetworkConfig) {
	GinkgoHelper()
	w.at("lock exclusive", func() error {
		onCall := w.onCall
		w.onCall = nil
		for lock := range w.locks {
			w.locks[lock] = unlocked
		}
		Expect(w.netset().Up(config, firstPid)).To(Succeed())
		w.onCall = onCall
		return configurer.ErrBusy
	})
}

var _ = Describe("another run for the container that comes while the lock is let go of", Label("unit"), func() {
	DescribeTable("to sweep ports is compared with as any other is", func(other netsetgo.NetworkConfig, matches types.GomegaMatcher) {
		w := newWorld(2)
		asked := publishing(netsetgo.NetworkConfig{}, port(8080, ""))
		Expect(w.netset().Up(asked, firstPid+1)).To(Succeed())
		w.end(w.container(2))
		w.cutIn(other)
		// Of another address than the one that the port leads to still: that would be swept at once.
		asked.ContainerIP = net.ParseIP("10.10.10.3")
		Expect(w.netset().Up(asked, firstPid)).To(matches)
		Expect(w.attached(w.container(1))).To(HaveLen(1))
		w.container(2).known = false
		w.expectWhole(w.container(1), 1)
		Expect(w.host().rules.String()).To(ContainSubstring("%d : 10.10.10.3", other.Publish[0].HostPort))
		Expect(w.host().rules.String()).NotTo(ContainSubstring(": 10.10.10.2"))
		w.expectNothingOpen()
	},
		Entry("and refused against, where it asked for something else", publishing(netsetgo.NetworkConfig{}, port(8081, "")),
			MatchError(ContainSubstring("it is connected already, otherwise than asked"))),
		Entry("and agreed with, where it asked for the same", publishing(netsetgo.NetworkConfig{}, port(8080, "")), Succeed()),
	)

	It("undoes what it put into the rules, though somebody deleted its host link", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		before := w.String()
		w.at("nft add element ports4", func() error {
			w.host().remove(w.container(1).named("veth1").peer)
			return nil
		})
		Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, port(8080, "")), firstPid)).NotTo(Succeed())
		w.container(1).known = false
		Expect(w.String()).To(Equal(before))
	})

	It("to undo something keeps what it made", func() {
		w := newWorld(1)
		config := publishing(netsetgo.NetworkConfig{}, port(8080, ""))
		w.at(`ip link set brg0 alias "netsetgo next=`, func() error {
			w.cutIn(config)
			return errBroken
		})
		Expect(w.netset().Up(config, firstPid)).To(MatchError(errBroken))
		Expect(w.host().rules.String()).To(ContainSubstring("8080 : 10.10.10.2"))
		w.expectWhole(w.container(1), 1)
		w.expectNothingOpen()
	})
})

var _ = Describe("what a killed run left in the container", Label("unit"), func() {
	It("is deleted with the lock held alone, and made anew", func() {
		w := unfinished(1)
		left := w.container(1).named("veth1").peer.Index
		w.at("ip link delete", func() error {
			Expect(w.locks).To(HaveLen(1))
			Expect(w.locks).To(ContainElement(exclusive))
			return nil
		})
		w.at("ip link add veth", func() error { return nil })
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.attached(w.container(1))[0].Index).NotTo(Equal(left))
		w.expectWhole(w.container(1), 1)
	})

	It("doesn't keep other runs waiting, once it is gone", func() {
		w := unfinished(1)
		w.at("ip link property add", func() error {
			Expect(w.locks).To(HaveLen(1))
			Expect(w.locks).To(ContainElement(shared))
			return nil
		})
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
	})

	It("is all that a run takes away that fails then, whichever call it is", func() {
		halfway := unfinished(1)
		halfway.host().rules[firewall.Bridge].sets["senders4"] = nil
		clean := unfinished(1)
		clean.host().remove(clean.container(1).named("veth1"))
		clean.host().rules[firewall.Bridge].sets["senders4"] = nil
		for nth := 1; ; nth++ {
			w := unfinished(1)
			before := w.String()
			broken := w.failing(nth, anyCall, errBroken, false)
			err := w.netset().Up(netsetgo.NetworkConfig{}, firstPid)
			w.expectNothingOpen()
			if *broken == "" {
				Expect(err).NotTo(HaveOccurred())
				Expect(nth).To(BeNumerically(">", 40), "there must be calls to fail")
				return
			}
			if err == nil { // the look under the lock is made again when it fails
				w.expectWhole(w.container(1), 1)
				continue
			}
			Expect(err).To(MatchError(errBroken))
			Expect(w.String()).To(Or(Equal(before), Equal(halfway.String()), Equal(clean.String())))
		}
	})

	It("may go by itself meanwhile", func() {
		w := unfinished(1)
		w.at("ip link delete", func() error {
			w.host().remove(w.container(1).named("veth1"))
			return nil
		})
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.expectWhole(w.container(1), 1)
	})
})

var _ = Describe("the lock", Label("unit"), func() {
	It("is waited for by a run that attaches while one holds it alone", func() {
		w := newWorld(1)
		other := &configurerfakes.FakeLock{}
		w.locks[other] = exclusive
		tries := 0
		w.onCall = func(_ int, doing string) (bool, error) {
			if doing == "lock shared" {
				if tries++; tries == 3 {
					delete(w.locks, other)
				}
			}
			return true, nil
		}
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		w.expectWhole(w.container(1), 1)
		w.expectNothingOpen()
	})

	It("is waited for no longer than -timeout", func() {
		w := newWorld(1)
		other := &configurerfakes.FakeLock{}
		w.locks[other] = exclusive
		config := netsetgo.NetworkConfig{Deadline: time.Now().Add(10 * time.Millisecond)}
		err := w.netset().Up(config, firstPid)
		Expect(err).To(MatchError(configurer.ErrTimeout))
		Expect(err).To(MatchError(configurer.ErrBusy))
		Expect(w.log).To(BeEmpty())
		delete(w.locks, other)
		w.expectNothingOpen()
	})

	It("isn't waited for by runs that attach, from each other, where the rules are in place", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		w.expectNothingOpen()
		other := &configurerfakes.FakeLock{}
		w.locks[other] = shared
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		delete(w.locks, other)
		w.expectNothingOpen()
	})
})
