package configurer_test

import (
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/lease"
	"github.com/netsetgo/netsetgo/configurerfakes"
)

// lastOut is what goes with the last bridge.
var lastOut = []string{
	"sysctl -w net/ipv4/conf/eth0/forwarding=0", "nft delete table inet", "nft delete table bridge", "ip link delete brg0",
}

var _ = Describe("disconnecting a container", Label("unit"), func() {
	web := netsetgo.NetworkConfig{ID: "web"}
	// connected is a world in which c1 is connected under the id web; lo was up.
	connected := func(containers int) *world {
		GinkgoHelper()
		w := newWorld(containers)
		w.container(1).up(loopback)
		Expect(w.netset().Up(web, firstPid)).To(Succeed())
		w.log = nil
		return w
	}
	fresh := func(containers int) string {
		w := newWorld(containers)
		w.container(1).up(loopback)
		return w.String()
	}

	DescribeTable("leaves all as it was before it was connected",
		func(config netsetgo.NetworkConfig, pid int) {
			w := connected(1)
			Expect(w.netset().Down(config, pid)).To(Succeed())
			Expect(w.String()).To(Equal(fresh(1)))
			Expect(w.log).To(Equal(append([]string{
				"nft delete element senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }", "ip link delete veth0",
			}, lastOut...)))
			w.expectNothingOpen()
			Expect(w.netset().Down(config, pid)).To(Succeed(), "twice")
			Expect(w.log).To(HaveLen(2 + len(lastOut)))
			w.expectNothingOpen()
		},
		Entry("by process", netsetgo.NetworkConfig{}, firstPid),
		Entry("by process, under whatever id", netsetgo.NetworkConfig{ID: "other"}, firstPid),
		Entry("by id", web, 0),
		Entry("by id, when the process is gone", web, 7),
	)

	It("leaves all as it was by an open namespace, which stays open", func() {
		w := connected(1)
		file := w.open(w.container(1))
		DeferCleanup(file.Close)
		Expect(w.netset().Down(netsetgo.NetworkConfig{Namespace: file}, 0)).To(Succeed())
		Expect(w.String()).To(Equal(fresh(1)))
		_, err := file.Stat()
		Expect(err).NotTo(HaveOccurred())
		w.expectNothingOpen()
	})

	It("finds by an id that is too long for a name", func() {
		w := newWorld(1)
		long := netsetgo.NetworkConfig{ID: strings.Repeat("a", 200)}
		Expect(w.netset().Up(long, firstPid)).To(Succeed())
		Expect(w.netset().Down(netsetgo.NetworkConfig{ID: strings.Repeat("a", 199)}, 0)).To(Succeed())
		Expect(w.attached(w.container(1))).To(HaveLen(1))
		Expect(w.netset().Down(long, 0)).To(Succeed())
		Expect(w.attached(w.container(1))).To(BeEmpty())
	})

	DescribeTable("does nothing where there is nothing", func(config netsetgo.NetworkConfig, pid int) {
		w := connected(2)
		before := w.String()
		Expect(w.netset().Down(config, pid)).To(Succeed())
		Expect(w.log).To(BeEmpty())
		Expect(w.String()).To(Equal(before))
		w.expectNothingOpen()
	},
		Entry("by process", netsetgo.NetworkConfig{}, firstPid+1),
		Entry("by another id", netsetgo.NetworkConfig{ID: "we"}, 0),
		Entry("by another interface", netsetgo.NetworkConfig{ID: "web", ContainerInterface: "eth7"}, 0),
		Entry("by another interface of the process", netsetgo.NetworkConfig{ContainerInterface: "eth7"}, firstPid),
		Entry("by neither", netsetgo.NetworkConfig{}, 0),
		Entry("by a process that is gone", netsetgo.NetworkConfig{}, 7),
	)

	It("leaves other containers connected", func() {
		w := connected(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.netset().Down(web, firstPid)).To(Succeed())
		w.expectWhole(w.container(2), 1)
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		Expect(w.host().links).To(HaveLen(2), "the last one out takes the bridge")
	})

	It("takes one of a container's two attachments", func() {
		w := connected(1)
		second := netsetgo.NetworkConfig{ContainerInterface: "eth1", DefaultRoute: netsetgo.No, ID: "web"}
		Expect(w.netset().Up(second, firstPid)).To(Succeed())
		Expect(w.netset().Down(second, firstPid)).To(Succeed())
		w.expectWhole(w.container(1), 1)
	})

	It("never takes an interface that isn't ours", func() {
		w := newWorld(1)
		w.container(1).add(configurer.Link{Name: "veth1"})
		before := w.String()
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(before))
	})

	It("takes what a killed run left", func() {
		w := unfinished(1)
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(fresh(1)))
		w.expectNothingOpen()
	})

	It("takes what another run finishes meanwhile", func() {
		w := unfinished(1)
		other := &configurerfakes.FakeLock{}
		w.locks[other] = shared
		w.at("lock exclusive", func() error {
			delete(w.locks, other)
			end := w.container(1).named("veth1").peer
			end.Altnames = append(end.Altnames, lease.NamespaceName("veth1", firstInode))
			return nil
		})
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(fresh(1)))
	})

	It("is done where the link goes by itself meanwhile", func() {
		w := connected(1)
		w.at("ip link delete veth0", func() error { w.host().remove(w.host().named("veth0")); return nil })
		Expect(w.netset().Down(web, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(fresh(1)))
	})

	// Once the host link is gone there is no way back: what fails then is done again.
	DescribeTable("leaves all as it was, or nothing, whichever call fails", func(matters func(string) bool, failure error, made bool) {
		published := publishing(netsetgo.NetworkConfig{ID: "web"}, port(8080, ""), port(53, "udp"))
		for _, pid := range []int{0, firstPid} {
			failed := 0
			for nth := 1; ; nth++ {
				w := newWorld(1)
				w.container(1).up(loopback)
				Expect(w.netset().Up(published, firstPid)).To(Succeed())
				before := w.String()
				broken := w.failing(nth, matters, failure, made)
				err := w.netset().Down(web, pid)
				w.expectNothingOpen()
				if err == nil {
					Expect(w.String()).To(Equal(fresh(1)), "after this failed: %s", *broken)
				} else {
					failed++
					Expect(err).To(MatchError(failure))
					Expect(w.String()).To(Equal(before), "after this failed: %s: %s", *broken, err)
				}
				if *broken == "" {
					Expect(failed).To(And(BeNumerically(">", 0), BeNumerically("<", nth-1)), "there must be calls of both sorts to fail")
					break
				}
			}
		}
	},
		Entry("as it is refused", anyCall, errBroken, false),
		Entry("as its answer is lost", changes, configurer.ErrUnknown, true),
		Entry("as it isn't made, and its answer is lost", changes, configurer.ErrUnknown, false),
	)

	It("leaves what it took out of the rules to who has the address by then", func() {
		w := newWorld(2)
		Expect(w.netset().Up(publishing(netsetgo.NetworkConfig{}, port(8080, "")), firstPid)).To(Succeed())
		w.at("ip link delete veth0", func() error {
			w.onCall = nil
			w.end(w.container(1))
			Expect(w.netset().Up(netsetgo.NetworkConfig{ContainerIP: net.IPv4(10, 10, 10, 2)}, firstPid+1)).To(Succeed())
			return errBroken
		})
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(errBroken))
		Expect(w.host().rules.String()).NotTo(ContainSubstring("8080"))
	})

	It("of what a killed run left is whole as well, whichever call fails", func() {
		for nth := 1; ; nth++ {
			w := unfinished(1)
			before := w.String()
			broken := w.failing(nth, anyCall, errBroken, false)
			err := w.netset().Down(netsetgo.NetworkConfig{}, firstPid)
			w.expectNothingOpen()
			if err == nil {
				Expect(w.String()).To(Equal(fresh(1)), "after this failed: %s", *broken)
			} else {
				Expect(w.String()).To(Equal(before), "after this failed: %s: %s", *broken, err)
			}
			if *broken == "" {
				Expect(nth).To(BeNumerically(">", 20), "there must be calls to fail")
				break
			}
		}
	})

	It("fails where what is left to do can't be done twice, and can be run again", func() {
		w := connected(1)
		w.onCall = func(_ int, doing string) (bool, error) {
			if doing == "ip link delete brg0" {
				return false, errBroken
			}
			return true, nil
		}
		Expect(w.netset().Down(web, firstPid)).To(MatchError(errBroken))
		w.expectNothingOpen()
		w.onCall = nil
		Expect(w.netset().Down(web, firstPid)).To(Succeed())
		Expect(w.String()).To(Equal(fresh(1)))
	})
})

var _ = Describe("removing bridges", Label("unit"), func() {
	down := func(w *world) error { return w.netset().Down(netsetgo.NetworkConfig{}, 0) }

	It("takes every one of ours without a port, and no other", func() {
		w := newWorld(1)
		Expect(w.netset().Up(netsetgo.NetworkConfig{BridgeName: "used"}, firstPid)).To(Succeed())
		w.host().addOurs("idle1")
		w.host().addOurs("idle2")
		w.host().addBridge("theirs")
		w.host().add(configurer.Link{Name: "port", Master: w.host().addOurs("lent").Index})
		w.log = nil
		Expect(down(w)).To(Succeed())
		Expect(w.log).To(Equal([]string{"ip link delete idle1", "ip link delete idle2"}))
		w.expectNothingOpen()
	})

	It("takes one whose ports are of containers that are gone", func() {
		for _, gone := range []func(*space){
			func(s *space) { s.dying = true },
			func(s *space) { s.dying, s.unnamed = true, true },
		} {
			w := newWorld(1)
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
			gone(w.container(1))
			w.log = nil
			Expect(down(w)).To(Succeed())
			Expect(w.log).To(Equal(append([]string{"ip link delete veth0"}, lastOut...)))
		}
	})

	It("leaves one with a port of somebody else's, though that is about to go", func() {
		w := newWorld(1)
		c := w.container(1)
		port := w.host().add(configurer.Link{Name: "p0", Kind: "veth", Master: w.host().addOurs("brg0").Index})
		peers(port, c.add(configurer.Link{Name: "p1", Kind: "veth"}))
		c.dying = true
		Expect(down(w)).To(Succeed())
		Expect(w.log).To(BeEmpty())
	})

	It("leaves one whose port's peer is here", func() {
		w := newWorld(0)
		port := w.host().add(configurer.Link{Name: "p0", Kind: "veth", Group: lease.Group, Master: w.host().addOurs("brg0").Index})
		peers(port, w.host().add(configurer.Link{Name: "p1", Kind: "veth"}))
		Expect(down(w)).To(Succeed())
		Expect(w.log).To(BeEmpty())
	})

	It("is decided by a second look, with the lock held alone", func() {
		w := newWorld(1)
		w.host().addOurs("brg0")
		w.at("lock exclusive", func() error {
			w.onCall = nil
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
			return nil
		})
		Expect(down(w)).To(Succeed())
		w.expectWhole(w.container(1), 1)
	})

	It("holds the lock alone", func() {
		w := newWorld(1)
		w.host().addOurs("brg0")
		w.at("ip link delete brg0", func() error {
			Expect(w.locks).To(HaveLen(1))
			Expect(w.locks).To(ContainElement(exclusive))
			return nil
		})
		Expect(down(w)).To(Succeed())
		w.expectNothingOpen()
	})

	It("asks for no lock where there is nothing to remove", func() {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
		w.onCall = func(_ int, doing string) (bool, error) {
			Expect(doing).NotTo(HavePrefix("lock"))
			return true, nil
		}
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(Succeed())
	})

	It("waits for the lock no longer than -timeout", func() {
		w := newWorld(1)
		w.host().addOurs("brg0")
		other := &configurerfakes.FakeLock{}
		w.locks[other] = shared
		config := netsetgo.NetworkConfig{Deadline: time.Now().Add(10 * time.Millisecond)}
		Expect(w.netset().Down(config, 0)).To(MatchError(configurer.ErrTimeout))
		Expect(w.log).To(BeEmpty())
		delete(w.locks, other)
		w.expectNothingOpen()
	})

	It("fails where what a killed run left can't be looked at again", func() {
		w, seen := halfway(1), 0
		w.onCall = func(_ int, doing string) (bool, error) {
			if doing == "c1: link veth1" {
				if seen++; seen == 2 {
					return false, errBroken
				}
			}
			return true, nil
		}
		Expect(w.netset().Down(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(errBroken))
	})
})
