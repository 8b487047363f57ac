package configurer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/netsetgo/netsetgo"
)

//go:generate go tool counterfeiter -generate

// What the kernel says to a call, as far as anything is decided on it. The kernel
// room turns errno into these, and keeps the kernel's own words beside them.
var (
	// ErrExists is of a name, address or route that is taken.
	ErrExists = errors.New("exists already")
	// ErrNotFound is of a link, name, address or route that isn't there.
	ErrNotFound = errors.New("doesn't exist")
	// ErrFull is of a bridge that has no port left to give.
	ErrFull = errors.New("has no room left")
	// ErrNoProcess is of a pid that nobody has, or a process that has ended.
	ErrNoProcess = errors.New("there is no such process, or it has ended")
	// ErrNoNamespace is of a namespace that isn't there.
	ErrNoNamespace = errors.New("no such network namespace")
	// ErrUnknown is of a change whose answer was lost: it may have been made.
	ErrUnknown = errors.New("no answer came, so that the change may have been made")
	// ErrBusy is of a lock that somebody else holds.
	ErrBusy = errors.New("held by another run")
)

// Kernel is where Host and Container begin.
//
//counterfeiter:generate -o ../configurerfakes . Kernel
type Kernel interface {
	// Pin opens the network namespace of a process: ErrNoProcess where there is
	// none that still runs.
	Pin(pid int) (*os.File, error)
	// Connect opens the kernel's network configuration of the caller's namespace
	// where container is nil, or of container. It refuses a container that is the
	// caller's own namespace.
	Connect(container *os.File) (Conn, error)
	// Inode is the number by which an open namespace is told from others for as
	// long as it lives.
	Inode(namespace *os.File) (uint64, error)
	// TryLock takes the lock that all runs share, or changes how it is held. It
	// doesn't wait: ErrBusy.
	TryLock(held Lock, exclusive bool) (Lock, error)
}

// Lock is held until Release, or the end of the process.
//
//counterfeiter:generate -o ../configurerfakes . Lock
type Lock interface {
	Release() error
}

// Conn reads and changes one network namespace. It sees links by index, except
// where a name is what is asked for.
//
//counterfeiter:generate -o ../configurerfakes . Conn
type Conn interface {
	Reader
	// Do makes changes in their order, in one go, each whole or not at all. It
	// returns one error for each change; nil where it was made.
	Do(changes ...Change) []error
	Close() error
}

// Reader is the half of Conn that changes nothing.
type Reader interface {
	// Link returns one link, or ErrNotFound.
	Link(which Which) (Link, error)
	// Bridges and Ports are lists that grow with the host: never on the way up.
	Bridges() ([]Link, error)
	Ports(bridge int) ([]Link, error)
	Addresses(link int) ([]netip.Prefix, error)
	// Routes are those of the main table, IPv4.
	Routes() ([]Route, error)
	// RouteTo returns the route that reaches an address, of any table, or ErrNotFound
	// where none leads to a link.
	RouteTo(addr netip.Addr) (Route, error)
	// DefaultDevice returns the link of the default route, or ErrNotFound.
	DefaultDevice() (int, error)
	// NamespaceID is this namespace's number for another, as in Link.PeerNamespace;
	// ErrNotFound where it has none.
	NamespaceID(namespace *os.File) (int, error)
	// NamespaceLives says whether the namespace of a number still has a user.
	NamespaceLives(id int) (bool, error)
}

// Which says which link is meant, by the first field that isn't zero.
type Which struct {
	Index int
	// Name finds a link by any of its names: the answer's Name may be another.
	Name string
}

// Link is a network interface.
type Link struct {
	Index    int
	Name     string
	Kind     string // as in `ip link add type`; "" for a device of hardware
	Up       bool   // asked to be (IFF_UP)
	MTU      int    // in bytes
	MAC      net.HardwareAddr
	Master   int    // the index of the bridge that it is a port of; 0 for none
	Group    uint32 // lease.Group where netsetgo made it
	Alias    string
	Altnames []string
	// Peer is the index of a pair's other end, and PeerNamespace the number of its
	// namespace as seen from here: NoNamespace where that is dying, SameNamespace
	// where it is the link's own.
	Peer          int
	PeerNamespace int
}

// The numbers of Link.PeerNamespace that aren't of a namespace. The first is the
// kernel's NETNSA_NSID_NOT_ASSIGNED, linux/net_namespace.h.
const (
	NoNamespace   = -1
	SameNamespace = -2
)

// Route is a route as the kernel has it: netsetgo's, and the link it leaves by.
type Route struct {
	netsetgo.Route
	Link int
}

// Change is one thing that the kernel does whole or not at all. They are data, so
// that what is done can be shown and undone; the kernel room alone knows how.
type Change interface{ doing() string }

// AddBridge makes a bridge, down. The kernel's index for it is put into Index.
type AddBridge struct {
	Name  string
	MAC   net.HardwareAddr
	Group uint32
	Index *int
}

// AddPair makes a pair of veth in place: the host end up and on the bridge, the
// peer in the container's namespace, down. ErrExists may be of either name. The
// kernel's index for the host end is put into Index.
type AddPair struct {
	Name          string
	MAC           net.HardwareAddr
	Master        int
	MTU           int // of both ends
	Group         uint32
	Peer          string
	PeerMAC       net.HardwareAddr
	PeerNamespace *os.File
	Index         *int
}

// DeleteLink takes a link away, and with it its peer, names, addresses and routes.
type DeleteLink struct{ Link int }

// SetUp brings a link up, or down.
type SetUp struct {
	Link int
	Up   bool
}

// SetMTU and SetMAC change a link's.
type (
	SetMTU struct{ Link, MTU int }
	SetMAC struct {
		Link int
		MAC  net.HardwareAddr
	}
)

// SetAlias writes a link's alias; "" takes it away.
type SetAlias struct {
	Link  int
	Alias string
}

// SilenceIPv6 keeps a link from giving itself IPv6 addresses, for whose sake each
// new port would be sent a flood of multicast.
type SilenceIPv6 struct{ Link int }

// AddAltname gives a link one more name: ErrExists where any link has it.
type AddAltname struct {
	Link int
	Name string
}

// AddAddress and DeleteAddress are of one address of a link.
type (
	AddAddress struct {
		Link    int
		Address netip.Prefix
	}
	DeleteAddress struct {
		Link    int
		Address netip.Prefix
	}
)

// AddRoute and DeleteRoute are of one route in the main table.
type (
	AddRoute    struct{ Route Route }
	DeleteRoute struct{ Route Route }
)

// doing says what a change does, as the beginning of an error.

func (c AddBridge) doing() string { return "creating bridge " + c.Name }

func (c AddPair) doing() string {
	return fmt.Sprintf("creating the pair %s and %s", c.Name, c.Peer)
}
func (c DeleteLink) doing() string { return fmt.Sprintf("deleting link %d", c.Link) }
func (c SetUp) doing() string      { return fmt.Sprintf("bringing link %d up=%t", c.Link, c.Up) }
func (c SetMTU) doing() string     { return fmt.Sprintf("setting the MTU of link %d to %d", c.Link, c.MTU) }

func (c SetMAC) doing() string { return fmt.Sprintf("setting the MAC of link %d to %s", c.Link, c.MAC) }

func (c SetAlias) doing() string {
	return fmt.Sprintf("setting the alias of link %d to %q", c.Link, c.Alias)
}

func (c SilenceIPv6) doing() string {
	return fmt.Sprintf("turning automatic IPv6 off on link %d", c.Link)
}

func (c AddAltname) doing() string { return fmt.Sprintf("giving link %d the name %q", c.Link, c.Name) }

func (c AddAddress) doing() string {
	return fmt.Sprintf("adding address %s to link %d", c.Address, c.Link)
}

func (c DeleteAddress) doing() string {
	return fmt.Sprintf("deleting address %s of link %d", c.Address, c.Link)
}
func (c AddRoute) doing() string    { return "adding route " + c.Route.String() }
func (c DeleteRoute) doing() string { return "deleting route " + c.Route.String() }

// String is the route as ip(8) has it.
func (r Route) String() string {
	text := r.Destination.String()
	if r.Gateway.IsValid() {
		text += " via " + r.Gateway.String()
	}
	if r.Metric != 0 {
		text += fmt.Sprintf(" metric %d", r.Metric)
	}
	return fmt.Sprintf("%s on link %d", text, r.Link)
}

// pause is between two looks at something that somebody else must end.
const pause = 2 * time.Millisecond

// grace is how long a namespace may look alive though its container is gone: the
// kernel frees netlink sockets, netsetgo's own among them, some time after their
// process ended (call_rcu in netlink_release, net/netlink/af_netlink.c), and until
// then nothing tells it from one that lives.
const grace = 200 * time.Millisecond
