package configurer

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
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
	ErrNoProcess = errors.New("there is no such process, or it has ended; name one that runs in the container")
	// ErrNoNamespace is of a namespace that isn't there.
	ErrNoNamespace = errors.New("no such network namespace")
	// ErrUnknown is of a change whose answer was lost: it may have been made.
	ErrUnknown = errors.New("no answer came, so that the change may have been made")
	// ErrNoFirewall is of a kernel without nftables.
	ErrNoFirewall = errors.New("this kernel has no nftables (modprobe nf_tables); on a bridge of somebody else's, -spoofCheck=false does without")
	// ErrNoIPv6 is of an address for a link that has no IPv6.
	ErrNoIPv6 = errors.New("IPv6 is switched off there; switch it on (sysctl -w net/ipv6/conf/all/disable_ipv6=0 net/ipv6/conf/default/disable_ipv6=0), or leave it out of -bridgeAddress")
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
	// Do makes the changes of steps in their order, in one go, each whole or not at
	// all. It returns one error for each step; nil where its change was made.
	Do(steps ...Step) []error
	Close() error
}

// Reader is the half of Conn that changes nothing.
type Reader interface {
	// Link returns one link, or ErrNotFound.
	Link(which Which) (Link, error)
	// Links of a kind, such as "bridge", and Ports are lists that grow with the host:
	// never on the way up.
	Links(kind string) ([]Link, error)
	Ports(bridge int) ([]Link, error)
	// Peer returns the other end of a pair of veth, in whatever namespace it is:
	// ErrNotFound where that is gone.
	Peer(link Link) (Link, error)
	// Counters are those of all links, by their indexes. They are no part of a Link: newer
	// kernels leave them out of what they say of one, where statistics aren't asked for.
	Counters() (map[int]Counters, error)
	// Addresses of a link, or where that is 0 of all, without the link-local ones of
	// IPv6, which links give themselves.
	Addresses(link int) ([]netip.Prefix, error)
	// Routes are those of the main table.
	Routes() ([]Route, error)
	// RouteTo returns the route that reaches an address, of any table, or ErrNotFound
	// where none leads to a link.
	RouteTo(addr netip.Addr) (Route, error)
	// Uplinks are the links of all default routes, of IPv4 first, and first that which
	// is used.
	Uplinks() ([]Uplink, error)
	// PortMACs are those that AddPortMAC made known as a port's.
	PortMACs(port Link) ([]net.HardwareAddr, error)
	// NamespaceID is this namespace's number for another, as in Link.PeerNamespace;
	// ErrNotFound where it has none.
	NamespaceID(namespace *os.File) (int, error)
	// Table looks at a table of netsetgo's, and at the chains that it should have; the
	// zero TableAt where there is no such table.
	Table(outline firewall.Outline) (TableAt, error)
	// Rules are those of a table of netsetgo's in their order, by their comments; none
	// where there is no table.
	Rules(family firewall.Family) ([]RuleAt, error)
	// Elements are those of a set, and Find those among some that are there, with the
	// data they have; none where there is no such set.
	Elements(set firewall.Set) ([]firewall.Element, error)
	Find(elements ...firewall.Element) ([]firewall.Element, error)
	// Blocks are what others keep from being forwarded, whatever netsetgo's rules accept.
	Blocks() ([]Block, error)
	// Sysctl reads a sysctl of net; ErrNotFound where the kernel has none of that name.
	Sysctl(key string) (string, error)
	// NamespaceLives says whether the namespace of a number still has a user.
	NamespaceLives(id int) (bool, error)
	// Listeners are the sockets of the host's programs that take what is sent to a port of
	// a protocol of netsetgo.Protocols, and Program who has one: its name and pid, or ""
	// where that isn't to be seen.
	Listeners(protocol string) ([]Listener, error)
	Program(socket Listener) string
}

// Uplink is the link of a default route of one family.
type Uplink struct {
	Link int
	IPv6 bool
}

// Block is a chain of somebody else's that drops what no rule of its accepts.
type Block struct {
	// Family is ip, ip6 or inet.
	Family, Table, Chain string
	// Chains are the names of all chains of the table, and In and Out the links of
	// which the chain lets all through that comes in or goes out by them.
	Chains, In, Out []string
}

// TableAt is a table as it is there.
type TableAt struct {
	There   bool
	Version string // its comment
	// Uses counts, for each chain, its rules and the jumps to it.
	Uses map[string]int
}

// RuleAt is a rule as it is there.
type RuleAt struct{ Chain, Why string }

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
	Running  bool   // and the kernel has seen its carrier (IF_OPER_UP, linux/if.h)
	MTU      int    // in bytes
	MAC      net.HardwareAddr
	Master   int  // the index of the bridge that it is a port of; 0 for none
	Port     Port // of a bridge's port
	Settings Settings
	Group    uint32 // lease.Group where netsetgo made it
	Alias    string
	Altnames []string
	// Peer is the index of a pair's other end, and PeerNamespace the number of its
	// namespace as seen from here: NoNamespace where that is dying, SameNamespace
	// where it is the link's own.
	Peer          int
	PeerNamespace int
}

// Counters count the bytes that a link has received and sent.
type Counters struct{ Received, Sent uint64 }

// Port is how a bridge treats a port. See ip-link(8), bridge_slave.
type Port struct {
	// Learning takes MACs for the port's from what comes in by it.
	Learning bool
	// Locked lets in only what comes from a MAC that is known to be the port's.
	Locked bool
	// Isolated keeps the port from others that are isolated.
	Isolated bool
	// Hairpin lets packets go out by the port that they came in by.
	Hairpin bool
	// CanLock says that this kernel knows of Locked; it can't be set.
	CanLock bool
}

// Settings are sysctls of a link.
type Settings struct {
	// Forwarding and RouteLocalnet are of IPv4.
	Forwarding, RouteLocalnet bool
	// Forwarding6, ForceForwarding and AcceptRA are of IPv6.
	Forwarding6, ForceForwarding bool
	AcceptRA                     int
	// HasIPv6 says that the link has IPv6, HasForce that this kernel knows of
	// ForceForwarding (Linux 6.17 on).
	HasIPv6, HasForce bool
}

// The kinds of Link.Kind that netsetgo makes.
const (
	kindBridge = "bridge"
	kindVeth   = "veth"
)

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

// pause is the shortest between two looks at something that somebody else must end.
const pause = 2 * time.Millisecond

// grace is how long a namespace may look alive though its container is gone: the
// kernel frees netlink sockets, netsetgo's own among them, some time after their
// process ended (call_rcu in netlink_release, net/netlink/af_netlink.c), and until
// then nothing tells it from one that lives. That takes some 15 ms, and has been seen to
// take 0.4 s on a busy host. It is how long a refusal takes, where one holds what another
// wants, and a down of who is gone without an id, beside others.
const grace = time.Second
