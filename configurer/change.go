package configurer

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/netsetgo/netsetgo"
)

// Change is one thing that the kernel does whole or not at all. They are data, so
// that what is done can be shown and undone; the kernel room alone knows how.
type Change interface {
	// command is for Command: no change can be without.
	command(names Names) string
	// doing is the beginning of an error.
	doing() string
}

// Step is a change, and why it is made, in a few words.
type Step struct {
	Change Change
	Why    string
}

// AddBridge makes a bridge, down. The kernel's index for it is put into Index.
type AddBridge struct {
	Name  string
	MAC   net.HardwareAddr
	Group uint32
	Index *int
}

// AddPair makes a pair of veth in place: the host link on the bridge, the peer in
// the container's namespace, both down. ErrExists may be of either name. The
// kernel's index for the host link is put into Index, and into CanLock whether it knows locked
// ports.
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
	CanLock       *bool
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

func (c AddBridge) doing() string { return "creating bridge " + c.Name }

func (c AddPair) doing() string {
	return fmt.Sprintf("creating the pair %s and %s", c.Name, c.Peer)
}
func (c DeleteLink) doing() string { return fmt.Sprintf("deleting link %d", c.Link) }

func (c SetUp) doing() string {
	if c.Up {
		return fmt.Sprintf("bringing link %d up", c.Link)
	}
	return fmt.Sprintf("taking link %d down", c.Link)
}

func (c SetMTU) doing() string { return fmt.Sprintf("setting the MTU of link %d to %d", c.Link, c.MTU) }

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
func (c AddRoute) doing() string    { return "adding route " + describeRoute(c.Route.Route) }
func (c DeleteRoute) doing() string { return "deleting route " + describeRoute(c.Route.Route) }

// String is the route as ip(8) has it.
func (r Route) String() string { return fmt.Sprintf("%s on link %d", describeRoute(r.Route), r.Link) }

func describeRoute(route netsetgo.Route) string {
	text := route.Destination.String()
	if route.Gateway.IsValid() {
		text += " via " + route.Gateway.String()
	}
	if route.Metric != 0 {
		text += fmt.Sprintf(" metric %d", route.Metric)
	}
	return text
}
