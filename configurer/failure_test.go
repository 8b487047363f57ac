package configurer_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// errBroken is what a call says that fails.
var errBroken = errors.New("broken on purpose")

// failing makes the nth of the calls that matter fail, and returns where it writes down which
// that was.
func (w *world) failing(nth int, matters func(doing string) bool, failure error, made bool) (broken *string) {
	broken = new(string)
	seen := 0
	w.onCall = func(_ int, doing string) (bool, error) {
		if matters(doing) {
			seen++
			if seen == nth {
				*broken = doing
				return made, fmt.Errorf("%w: %s", failure, doing)
			}
		}
		return true, nil
	}
	return broken
}

func anyCall(string) bool { return true }

// remembers is of the changes without which an uplink shouldn't be opened: what remembers
// how it was, and what keeps the routes that a router told.
func remembers(doing string) bool {
	return changes(doing) && strings.Contains(doing, "number=0 policy=") && strings.Contains(doing, " was=") ||
		strings.HasSuffix(doing, "/accept_ra=2")
}

// changes are told by their commands.
func changes(doing string) bool {
	command, _, _ := strings.Cut(doing, " ")
	return slices.Contains([]string{"ip", "bridge", "nft", "sysctl", "conntrack"}, command)
}

// situations are the states of the host and of c1 in which a run begins.
var situations = map[string]func() *world{
	"on a fresh host": func() *world { return newWorld(1) },
	"where another container is connected": func() *world {
		w := newWorld(2)
		Expect(w.netset().Up(netsetgo.NetworkConfig{ID: "other"}, firstPid+1)).To(Succeed())
		w.container(1).up(loopback)
		return w
	},
	"where a killed run left a bridge": func() *world {
		w := newWorld(1)
		w.host().addOurs("brg0")
		return w
	},
	"on a bridge of somebody else's": func() *world {
		w := newWorld(1)
		bridge := w.host().addBridge("brg0", "10.10.10.1/24", "192.168.7.1/24")
		bridge.Alias = "do not touch"
		return w
	},
	"where the first name is taken": func() *world {
		w := newWorld(1)
		w.host().add(configurer.Link{Name: "veth0", MTU: 1500})
		return w
	},
	"in a container that has addresses and routes": func() *world {
		w := newWorld(1)
		c := w.container(1)
		c.named("lo").addresses = append(c.named("lo").addresses, netip.MustParsePrefix("10.9.9.9/32"))
		uplink := c.add(configurer.Link{Name: "eth7", Up: true, MTU: 1500})
		uplink.addresses = append(uplink.addresses, netip.MustParsePrefix("10.8.0.2/24"))
		return w
	},
}

// addOurs makes a bridge as a run does that is killed right after.
func (s *space) addOurs(name string) *device {
	d := s.addBridge(name)
	d.Up, d.MTU, d.silent, d.Group, d.Settings.AcceptRA = false, 1450, true, lease.Group, 0
	return d
}

// requests are the configurations that are asked for in each situation.
var requests = map[string]func() netsetgo.NetworkConfig{
	"with the defaults": func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{} },
	"with an id":        func() netsetgo.NetworkConfig { return netsetgo.NetworkConfig{ID: "web"} },
	"with many options": func() netsetgo.NetworkConfig { return onAnyBridge(everyOption()) },
}

// fails runs Up once for each call that matters, which fails, until it is run without a
// failure.
func fails(build func() *world, request func() netsetgo.NetworkConfig, matters func(string) bool, failure error, made bool) {
	GinkgoHelper()
	before := build().String()
	for nth := 1; ; nth++ {
		w := build()
		w.conns, w.pinned = nil, nil
		broken := w.failing(nth, matters, failure, made)
		err := w.netset().Up(request(), firstPid)
		w.expectNothingOpen()
		w.onCall = nil
		if *broken == "" {
			Expect(err).NotTo(HaveOccurred())
			Expect(nth).To(BeNumerically(">", 8), "there must be calls to fail")
			return
		}
		Expect(err).To(MatchError(failure), "where this failed: %s", *broken)
		Expect(w.String()).To(Equal(before), "after this failed: %s: %s", *broken, err)
	}
}

var _ = Describe("a run that fails", Label("unit"), func() {
	// In an order, because every process of a parallel run must see the same specs.
	for _, situation := range slices.Sorted(maps.Keys(situations)) {
		for _, asked := range slices.Sorted(maps.Keys(requests)) {
			build, request := situations[situation], requests[asked]
			It("leaves all as it was when any call is refused, "+situation+" "+asked, func() {
				fails(build, request, anyCall, errBroken, false)
			})
			It("leaves all as it was when the answer to any change that was made is lost, "+situation+" "+asked, func() {
				fails(build, request, changes, configurer.ErrUnknown, true)
			})
			It("leaves all as it was when the answer to any change that wasn't made is lost, "+situation+" "+asked, func() {
				fails(build, request, changes, configurer.ErrUnknown, false)
			})
		}
	}

	DescribeTable("opens no uplink", func(build func() *world, where string) {
		w := build()
		before := w.String()
		w.onCall = func(_ int, doing string) (bool, error) {
			if remembers(doing) && strings.Contains(doing, where) {
				return false, errBroken
			}
			return true, nil
		}
		Expect(w.netset().Up(dual(), firstPid)).To(MatchError(errBroken))
		Expect(w.String()).To(Equal(before))
	},
		Entry("that it can't remember", places["on a fresh host"], " was="),
		Entry("whose routes it would lose", places["by an older kernel"], "/accept_ra=2"),
	)

	It("undoes in reverse, and nothing else", func() {
		w := newWorld(1)
		w.host().named(uplink).MTU = 1500
		w.onCall = func(_ int, doing string) (bool, error) {
			if strings.Contains(doing, "netsetgo:n:") && changes(doing) {
				w.log = nil
				return false, errBroken
			}
			return true, nil
		}
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(errBroken))
		Expect(strings.Join(w.log, "\n")).To(Equal(`
ip -n c1 route delete 0.0.0.0/0 via 10.10.10.1 on link 2
ip -n c1 address delete 10.10.10.2/24 dev veth1
ip -n c1 link set veth1 down
ip -n c1 link set lo down
ip -n c1 address delete 127.0.0.1/8 dev lo
ip link set brg0 alias "netsetgo number=0 policy=closed,nat was=2/forwarding:0"
nft delete element senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }
ip link delete veth0
sysctl -w net/ipv4/conf/brg0/forwarding=0
sysctl -w net/ipv4/conf/eth0/forwarding=0
nft delete table inet
nft delete table bridge
ip link set brg0 alias ""
ip link set brg0 down
ip address delete 10.10.10.1/24 dev brg0
sysctl -w net/ipv6/conf/brg0/accept_ra=1
ip link delete brg0`[1:]))
	})

	It("goes on undoing when something can't be undone, and says both", func() {
		errStuck := errors.New("stuck")
		w := newWorld(1)
		w.onCall = func(_ int, doing string) (bool, error) {
			switch {
			case strings.HasPrefix(doing, "ip link property add dev veth0 altname netsetgo:n:"):
				return false, errBroken
			case doing == "ip -n c1 address delete 10.10.10.2/24 dev veth1", doing == "ip link set brg0 down":
				return false, fmt.Errorf("%w: %s", errStuck, doing)
			}
			return true, nil
		}
		err := w.netset().Up(netsetgo.NetworkConfig{}, firstPid)
		Expect(err).To(MatchError(errBroken))
		Expect(err).To(MatchError(errStuck))
		Expect(err).To(MatchError(ContainSubstring("address delete")))
		Expect(err).To(MatchError(ContainSubstring("brg0 down")))
		Expect(w.String()).To(Equal(newWorld(1).String()))
		w.expectNothingOpen()
	})

	It("removes its bridge with the lock held alone", func() {
		w := newWorld(1)
		w.at("ip link property add dev veth0 altname netsetgo:n:", func() error { return errBroken })
		w.at("ip link delete brg0", func() error {
			Expect(w.locks).To(HaveLen(1))
			Expect(w.locks).To(ContainElement(exclusive))
			return nil
		})
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(errBroken))
	})

	It("leaves its bridge to a run that uses it meanwhile", func() {
		w := newWorld(2)
		w.at("ip -n c1 address add", func() error {
			w.onCall = nil
			Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid+1)).To(Succeed())
			return errBroken
		})
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(errBroken))
		Expect(w.netset().Inspect(netsetgo.NetworkConfig{}, firstPid+1)).To(HaveField("Bridge.Name", "brg0"))
		Expect(w.host().named("brg0").Up).To(BeTrue())
		Expect(w.host().named("brg0").addresses).To(HaveLen(1))
		Expect(w.container(1).named("veth1")).To(BeNil())
	})

	It("leaves a bridge of ours up that was up", func() {
		w := newWorld(1)
		bridge := w.host().addOurs("brg0")
		bridge.Up = true
		w.at("ip link add veth0", func() error { return errBroken })
		Expect(w.netset().Up(netsetgo.NetworkConfig{}, firstPid)).To(MatchError(errBroken))
		Expect(bridge.Up).To(BeTrue())
	})

	It("leaves a bridge that a killed run left its MTU", func() {
		w := newWorld(1)
		bridge := w.host().addOurs("brg0")
		w.at("ip link add veth0", func() error { return errBroken })
		Expect(w.netset().Up(netsetgo.NetworkConfig{MTU: 1300}, firstPid)).To(MatchError(errBroken))
		Expect(bridge.MTU).To(Equal(1450))
	})
})
