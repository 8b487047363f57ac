package configurer_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurerfakes"
)

// kernel returns the way that the configurers have into the world.
func (w *world) kernel() *configurerfakes.FakeKernel {
	kernel := &configurerfakes.FakeKernel{}
	kernel.PinCalls(w.pin)
	kernel.ConnectCalls(w.connect)
	kernel.InodeCalls(func(file *os.File) (uint64, error) {
		if _, err := w.call("inode"); err != nil {
			return 0, err
		}
		return w.files[file].inode, nil
	})
	kernel.TryLockCalls(w.tryLock)
	return kernel
}

// netset is the whole: both sides, on this world.
func (w *world) netset() *netsetgo.Netset { return w.netsetOn(w.kernel()) }

func (w *world) netsetOn(kernel configurer.Kernel) *netsetgo.Netset {
	host := configurer.NewHostConfigurer(kernel)
	host.Warn = func(text string) { w.warnings = append(w.warnings, text) }
	return netsetgo.New(host, configurer.NewContainerConfigurer(kernel))
}

func (w *world) call(format string, args ...any) (made bool, err error) {
	w.calls++
	w.handOver()
	if w.onCall == nil {
		return true, nil
	}
	return w.onCall(w.calls, fmt.Sprintf(format, args...))
}

// at does something once, just ahead of the first call whose text begins with
// doing; what it returns is that call's error.
func (w *world) at(doing string, do func() error) {
	GinkgoHelper()
	fired := false
	DeferCleanup(func() { Expect(fired).To(BeTrue(), "no call was %q", doing) })
	previous := w.onCall
	w.onCall = func(call int, text string) (bool, error) {
		if previous != nil {
			if made, err := previous(call, text); err != nil {
				return made, err
			}
		}
		if fired || !strings.HasPrefix(text, doing) {
			return true, nil
		}
		fired = true
		return false, do()
	}
}

// open opens a namespace as a caller of the library does. Its path is that of no
// other namespace, because commands have it.
func (w *world) open(s *space) *os.File {
	GinkgoHelper()
	file, err := os.Open(s.path())
	Expect(err).NotTo(HaveOccurred())
	w.files[file] = s
	return file
}

func (w *world) pin(pid int) (*os.File, error) {
	if _, err := w.call("pin"); err != nil {
		return nil, err
	}
	for _, s := range w.spaces[1:] {
		if s.pid == pid {
			file := w.open(s)
			w.pinned = append(w.pinned, file)
			return file, nil
		}
	}
	return nil, fmt.Errorf("process %d: %w", pid, configurer.ErrNoProcess)
}

func (w *world) connect(file *os.File) (configurer.Conn, error) {
	s := w.host()
	if file != nil {
		s = w.files[file]
	}
	if _, err := w.call("connect %s", s.name); err != nil {
		return nil, err
	}
	conn := &configurerfakes.FakeConn{}
	conn.LinkCalls(func(which configurer.Which) (configurer.Link, error) { return w.link(s, which) })
	conn.LinksCalls(func(kind string) ([]configurer.Link, error) {
		return w.links(s, kind+"s", func(d *device) bool { return d.Kind == kind })
	})
	conn.PortsCalls(func(bridge int) ([]configurer.Link, error) {
		return w.links(s, "ports", func(d *device) bool { return d.Master == bridge })
	})
	conn.CountersCalls(func() (map[int]configurer.Counters, error) {
		if _, err := w.call("counters"); err != nil {
			return nil, err
		}
		counters := map[int]configurer.Counters{}
		for _, d := range s.links {
			counters[d.Index] = d.Counters
		}
		return counters, nil
	})
	conn.PeerCalls(func(link configurer.Link) (configurer.Link, error) { return w.peer(s, link) })
	conn.AddressesCalls(func(link int) ([]netip.Prefix, error) {
		if _, err := w.call("addresses"); err != nil {
			return nil, err
		}
		var addresses []netip.Prefix
		for _, d := range s.links {
			if link == 0 || d.Index == link {
				addresses = append(addresses, d.global()...)
			}
		}
		return addresses, nil
	})
	conn.RoutesCalls(func() ([]configurer.Route, error) { return w.routes(s) })
	conn.RouteToCalls(func(addr netip.Addr) (configurer.Route, error) { return w.routeTo(s, addr) })
	conn.UplinksCalls(func() ([]configurer.Uplink, error) { return w.uplinks(s) })
	conn.NamespaceIDCalls(func(file *os.File) (int, error) {
		if _, err := w.call("namespace id"); err != nil {
			return 0, err
		}
		if other := w.files[file]; other.known && !other.unnamed {
			return other.number, nil
		}
		return 0, configurer.ErrNotFound
	})
	conn.NamespaceLivesCalls(func(id int) (bool, error) {
		_, err := w.call("namespace %d lives", id)
		return err == nil && !w.spaces[id].dying, err
	})
	w.connectFirewall(conn, s)
	conn.DoCalls(func(steps ...configurer.Step) []error { return w.do(s, steps) })
	w.conns = append(w.conns, conn)
	return conn, nil
}

func (w *world) link(s *space, which configurer.Which) (configurer.Link, error) {
	text := "link " + which.Name
	if which.Index != 0 {
		text = fmt.Sprintf("link %d", which.Index)
	}
	if _, err := w.call("%s: %s", s.name, text); err != nil {
		return configurer.Link{}, err
	}
	found := s.named(which.Name)
	if which.Index != 0 {
		found = s.index(which.Index)
	}
	if found == nil {
		return configurer.Link{}, configurer.ErrNotFound
	}
	link := found.view()
	if link.Running && w.unseen[link.Kind] > 0 {
		w.unseen[link.Kind]--
		link.Running = false
	}
	return link, nil
}

func (w *world) links(s *space, doing string, which func(*device) bool) ([]configurer.Link, error) {
	if _, err := w.call("%s", doing); err != nil {
		return nil, err
	}
	var links []configurer.Link
	for _, d := range s.links {
		if which(d) {
			links = append(links, d.view())
		}
	}
	return links, nil
}

// peer is seen from the host, whose numbers for namespaces are those of the world.
func (w *world) peer(s *space, link configurer.Link) (configurer.Link, error) {
	if _, err := w.call("peer of %s", link.Name); err != nil {
		return configurer.Link{}, err
	}
	switch n := link.PeerNamespace; {
	case n == configurer.NoNamespace, n >= 0 && w.spaces[n].dying:
		return configurer.Link{}, configurer.ErrNotFound
	case n >= 0:
		s = w.spaces[n]
	}
	found := s.index(link.Peer)
	if found == nil {
		return configurer.Link{}, configurer.ErrNotFound
	}
	return found.view(), nil
}

// routes has beside those that were made the ones that come with an address.
func (w *world) routes(s *space) ([]configurer.Route, error) {
	if _, err := w.call("%s: routes", s.name); err != nil {
		return nil, err
	}
	return s.allRoutes(), nil
}

func (w *world) routeTo(s *space, addr netip.Addr) (configurer.Route, error) {
	if _, err := w.call("%s: route to %s", s.name, addr); err != nil {
		return configurer.Route{}, err
	}
	for _, d := range s.links {
		own := func(address netip.Prefix) bool { return address.Addr() == addr }
		if d.Up && slices.ContainsFunc(d.addresses, own) {
			return configurer.Route{Route: netsetgo.Route{Destination: netip.PrefixFrom(addr, addr.BitLen())}, Link: d.Index}, nil
		}
	}
	best, err := configurer.Route{}, configurer.ErrNotFound
	for _, route := range s.allRoutes() {
		if route.Destination.Contains(addr) && route.Destination.Bits() >= best.Destination.Bits() {
			best, err = route, nil
		}
	}
	return best, err
}

func (s *space) allRoutes() []configurer.Route {
	routes := slices.Clone(s.routes)
	for _, d := range s.links {
		for _, address := range d.addresses {
			if d.Up && d.Index != loopback {
				routes = append(routes, configurer.Route{Route: netsetgo.Route{Destination: address.Masked(), Metric: subnetMetric(address)}, Link: d.Index})
			}
		}
	}
	return routes
}

// tryLock is flock(2): to change how a lock is held lets go of it first, also
// where it then isn't given.
func (w *world) tryLock(held configurer.Lock, alone bool) (configurer.Lock, error) {
	asked := shared
	if alone {
		asked = exclusive
	}
	if _, err := w.call("lock %s", map[mode]string{shared: "shared", exclusive: "exclusive"}[asked]); err != nil {
		return nil, err
	}
	mine, _ := held.(*configurerfakes.FakeLock)
	if mine == nil {
		mine = &configurerfakes.FakeLock{}
		mine.ReleaseCalls(func() error {
			if _, ok := w.locks[mine]; !ok {
				return errors.New("released twice")
			}
			delete(w.locks, mine)
			return nil
		})
	} else {
		w.locks[mine] = unlocked
	}
	for lock, how := range w.locks {
		if lock != mine && (how == exclusive || alone && how == shared) {
			w.busy++
			Expect(w.busy).To(BeNumerically("<", 1000), "the lock is waited for without an end")
			w.letOthersGoOn()
			return nil, configurer.ErrBusy
		}
	}
	w.locks[mine] = asked
	return mine, nil
}
