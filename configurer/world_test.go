package configurer_test

import (
	"fmt"
	"net"
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

// world is a kernel in memory: namespaces with their links, addresses and routes,
// which FakeKernel and FakeConn read and change. It is printed as text, so that
// before and after are compared whole.
type world struct {
	// spaces are the namespaces; the first is the host's.
	spaces []*space
	// calls counts the calls to the kernel, made the changes; log has all changes but
	// those that only build a table of rules.
	calls, made int
	log         []string
	// onCall is asked ahead of each call: an error fails it, and made says whether
	// the change is made all the same. A panic kills the run.
	onCall func(call int, doing string) (made bool, err error)

	// unseen is how often links of a kind are looked at until their carrier is seen.
	unseen map[string]int

	// other is a run beside the one that began it.
	other *otherRun

	// What the runs hold open.
	conns []*configurerfakes.FakeConn
	locks map[*configurerfakes.FakeLock]mode
	busy  int // how often a lock wasn't given
	files map[*os.File]*space
	// pinned are the files that a run opened, and has to close.
	pinned []*os.File

	// blocks are what others keep from being forwarded, and warnings what Host said of it.
	blocks []configurer.Block
	// listeners are the host's programs', by their protocols.
	listeners map[string][]configurer.Listener
	programs  map[uint64]string
	warnings  []string
}

type mode int

const (
	unlocked mode = iota
	shared
	exclusive
)

// space is one network namespace, of the process pid.
type space struct {
	name   string
	pid    int
	number int
	inode  uint64
	links  []*device
	routes []configurer.Route
	rules  ruleset
	// sysctls are those that aren't of a link, by their keys.
	sysctls map[string]string
	last    int // the highest index given
	// cantLock is of a kernel before 5.18, unforced of one before 6.17.
	cantLock, unforced bool
	// known is set when the host has a number for it; dying when its last user is
	// gone, unnamed when the host's number is gone too.
	known, dying, unnamed bool
}

type device struct {
	configurer.Link
	configurer.Counters
	in        *space
	peer      *device
	addresses []netip.Prefix
	silent    bool               // gives itself no IPv6 addresses
	macs      []net.HardwareAddr // known as those of the port
}

// The host's uplink and its MTU, and the first container's pid and inode.
const (
	uplink     = "eth0"
	firstPid   = 101
	firstInode = 4026532001
)

// newWorld has a host with an uplink and the containers c1, c2, ...
func newWorld(containers int) *world {
	w := &world{
		locks: map[*configurerfakes.FakeLock]mode{},
		files: map[*os.File]*space{},
	}
	host := w.space("host")
	host.up(loopback)
	host.add(configurer.Link{Name: uplink, Up: true, MTU: 1450})
	host.routes = []configurer.Route{{
		Route: netsetgo.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1")},
		Link:  host.named(uplink).Index,
	}}
	for n := range containers {
		w.space(fmt.Sprintf("c%d", n+1))
	}
	return w
}

const loopback = 1

func (w *world) space(name string) *space {
	n := len(w.spaces)
	s := &space{name: name, number: n, pid: firstPid + n - 1, inode: firstInode + uint64(n) - 1, rules: ruleset{}}
	s.sysctls = map[string]string{
		allForwarding6: "0", "net/ipv4/ip_forward": "0", "net/ipv4/conf/default/forwarding": "0", "net/ipv4/conf/default/route_localnet": "0",
		"net/ipv6/conf/default/accept_ra": "1", "net/ipv6/conf/default/force_forwarding": "0",
	}
	s.add(configurer.Link{Name: "lo", MTU: 65536})
	w.spaces = append(w.spaces, s)
	return s
}

// path is a file that can be opened, and no other namespace's.
func (s *space) path() string { return "/dev" + strings.Repeat("/.", s.number) + "/null" }

func (w *world) host() *space { return w.spaces[0] }

func (w *world) container(n int) *space { return w.spaces[n] }

func (s *space) add(link configurer.Link) *device {
	s.last++
	link.Index, link.Settings = s.last, newSettings
	link.Settings.HasForce = !s.unforced
	d := &device{Link: link, in: s}
	s.links = append(s.links, d)
	return d
}

// addBridge makes a bridge as somebody else does.
func (s *space) addBridge(name string, addresses ...string) *device {
	d := s.add(configurer.Link{Name: name, Kind: "bridge", Up: true, MTU: 1500})
	for _, address := range addresses {
		d.addresses = append(d.addresses, netip.MustParsePrefix(address))
	}
	return d
}

func (s *space) index(index int) *device {
	for _, d := range s.links {
		if d.Index == index {
			return d
		}
	}
	return nil
}

// named finds a link by any of its names, as the kernel does.
func (s *space) named(name string) *device {
	for _, d := range s.links {
		if d.Name == name || slices.Contains(d.Altnames, name) {
			return d
		}
	}
	return nil
}

// up brings a link up or, with it, gives lo its address (inetdev_event,
// net/ipv4/devinet.c).
func (s *space) up(index int) {
	d := s.index(index)
	d.Up = true
	if local := netip.MustParsePrefix("127.0.0.1/8"); index == loopback && !slices.Contains(d.addresses, local) {
		d.addresses = append(d.addresses, local)
	}
}

// remove takes a link away with its peer and its routes.
func (s *space) remove(d *device) {
	for _, each := range []*device{d, d.peer} {
		if each == nil {
			continue
		}
		in := each.in
		in.links = slices.DeleteFunc(in.links, func(other *device) bool { return other == each })
		in.routes = slices.DeleteFunc(in.routes, func(route configurer.Route) bool { return route.Link == each.Index })
		for _, port := range in.links {
			if port.Master == each.Index {
				port.Master = 0
			}
		}
	}
}

// end is the end of a container: its namespace goes, and all links with it.
func (w *world) end(s *space) {
	for len(s.links) > 0 {
		s.remove(s.links[0])
	}
	s.dying, s.pid = true, 0
}

// view is a link as a connection in its own namespace sees it.
func (d *device) view() configurer.Link {
	link := d.Link
	link.Altnames = slices.Clone(d.Altnames)
	link.Running = d.Up && (d.peer == nil || d.peer.Up)
	link.PeerNamespace = configurer.SameNamespace
	if d.peer == nil {
		return link
	}
	link.Peer = d.peer.Index
	if d.peer.in != d.in {
		link.PeerNamespace = d.peer.in.number
	}
	if d.peer.in.unnamed {
		link.PeerNamespace = configurer.NoNamespace
	}
	return link
}

// String prints all that a run may change.
func (w *world) String() string {
	var text strings.Builder
	for _, s := range w.spaces {
		fmt.Fprintf(&text, "%s\n", s.name)
		for _, d := range s.links {
			fmt.Fprintf(&text, " %s\n", d)
			for _, address := range d.addresses {
				fmt.Fprintf(&text, "   %s %s\n", map[bool]string{true: "inet", false: "inet6"}[address.Addr().Is4()], address)
			}
			for _, name := range d.Altnames {
				fmt.Fprintf(&text, "   altname %s\n", name)
			}
		}
		for _, route := range s.routes {
			fmt.Fprintf(&text, " route %s\n", route)
		}
		text.WriteString(s.rules.String())
	}
	return text.String()
}

func (d *device) String() string {
	text := fmt.Sprintf("%d: %s", d.Index, d.Name)
	if d.peer != nil {
		text += fmt.Sprintf("@%s:%s", d.peer.in.name, d.peer.Name)
	}
	if d.Up {
		text += " up"
	}
	text += fmt.Sprintf(" mtu %d", d.MTU)
	for _, field := range []struct {
		name  string
		shown bool
		value any
	}{
		{"master", d.Master != 0, d.Master},
		{"type", d.Kind != "", d.Kind},
		{"address", d.MAC != nil, d.MAC},
		{"group", d.Group != 0, d.Group},
		{"addrgenmode", d.silent, "none"},
		{"port", d.describePort() != "", d.describePort()},
		{"sysctl", d.describeSettings() != "", d.describeSettings()},
		{"alias", d.Alias != "", d.Alias},
	} {
		if field.shown {
			text += fmt.Sprintf(" %s %v", field.name, field.value)
		}
	}
	return text
}

// expectNothingOpen is said after each run: connections, locks and namespaces
// were let go of.
func (w *world) expectNothingOpen() {
	GinkgoHelper()
	for _, conn := range w.conns {
		Expect(conn.CloseCallCount()).To(Equal(1), "a connection must be closed once")
	}
	Expect(w.locks).To(BeEmpty(), "the lock must be released")
	for _, file := range w.pinned {
		Expect(file.Close()).To(MatchError(os.ErrClosed), "a pinned namespace must be closed")
	}
	w.conns, w.pinned = nil, nil
}
