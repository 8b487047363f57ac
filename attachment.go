package netsetgo

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Attachment is one interface of one container, as the kernel has it.
type Attachment struct {
	// Bridge has no name where somebody took the host link off it. Container is the
	// container's end, by the name that the attachment was made with.
	Bridge, HostLink, Container Interface
	// BridgeAddresses are all of the bridge.
	BridgeAddresses []netip.Prefix
	// Leases are of its addresses, IPv4 first.
	Leases []Lease
	// Sandbox is a path to the container's namespace, or the name it was opened by.
	Sandbox string
	// ID is the container's; "" where none was known.
	ID string
	// Routes of the container that leave by this interface.
	Routes []Route
	// NAT, AllowInbound and Isolated are of the bridge: Default where it isn't
	// netsetgo's.
	NAT, AllowInbound, Isolated Choice
	// SpoofCheck says that the container may send from its own MAC and addresses only.
	SpoofCheck bool
	// Publish are the ports of the host that lead to the container.
	Publish []Publish
}

// Lease is one of an attachment's addresses.
type Lease struct {
	Address netip.Addr
	// Gateway is the bridge's address in the same subnet; the zero Prefix where
	// somebody took that away.
	Gateway netip.Prefix
}

// Interface is a link of an attachment.
type Interface struct {
	Name string
	MAC  net.HardwareAddr
	MTU  int // in bytes
}

// State is how an attachment fares.
type State string

// An attachment is up; or has no carrier, because one of its ends is down; or isn't
// complete, because the run that made it is still at work or was killed.
const (
	StateUp         State = "up"
	StateNoCarrier  State = "no carrier"
	StateIncomplete State = "incomplete"
)

// Listed is an attachment as it is seen from the host.
type Listed struct {
	// Container is the container's id; where none was known, its namespace as
	// lsns(8) has it, "net:[4026532316]"; "" for what isn't complete.
	Container string
	// Interface is the name that the attachment was made with.
	Interface string
	Addresses []netip.Addr
	// MAC of the container's end; nil where it can't be looked at.
	MAC net.HardwareAddr
	// Bridge is "" where somebody took the host link off it.
	Bridge, HostLink string
	State            State
	// Received and Sent by the container, in bytes.
	Received, Sent uint64
}

// Missing is of what should be there and isn't.
const Missing = "missing"

// UpAgain ends a Mend by which the next run that connects a container does what is left,
// also one that is connected: it stands for the whole command line of that.
const UpAgain = "netsetgo up"

// Difference is something of an attachment that isn't as it is asked for.
type Difference struct {
	// What is the thing, such as "MTU of eth0 in the container".
	What string
	// Asked is how it should be, and Is how it is: Missing where it isn't there.
	Asked, Is string
	// Mend is the command that mends it, which may end in UpAgain; "" where only
	// connecting the container anew does.
	Mend string
}

// Differences lists, one phrase each, what the configuration asks for and the
// attachment hasn't. Only what was asked for is compared, not defaults.
func (a Attachment) Differences(c NetworkConfig) []string {
	var found []string
	differs := func(option string, asked, is any) {
		found = append(found, fmt.Sprintf("%s is %v, asked for is %v", option, is, asked))
	}
	if c.BridgeName != "" && c.BridgeName != a.Bridge.Name {
		differs("bridgeName", c.BridgeName, cmp.Or(a.Bridge.Name, "none"))
	}
	if number, ok := strings.CutPrefix(a.HostLink.Name, c.VethNamePrefix); !ok || c.VethNamePrefix != "" && strings.Trim(number, "0123456789") != "" {
		differs("vethNamePrefix", c.VethNamePrefix, "not that of "+a.HostLink.Name)
	}
	if c.ID != "" && !c.IDIsHint && c.ID != a.ID {
		differs("id", fmt.Sprintf("%q", c.ID), fmt.Sprintf("%q", a.ID))
	}
	if c.MTU != 0 && c.MTU != a.Container.MTU {
		differs("mtu", c.MTU, a.Container.MTU)
	}
	if c.MAC != nil && c.MAC.String() != a.Container.MAC.String() {
		differs("mac", c.MAC, a.Container.MAC)
	}
	for _, family := range c.Families() {
		if !slices.Contains(a.BridgeAddresses, family.Gateway) {
			differs("bridgeAddress", family.Gateway, a.BridgeAddresses)
		} else if !a.leased(family).Address.IsValid() {
			differs("containerAddress", "one of "+family.Gateway.Masked().String(), "none")
		}
	}
	for _, family := range c.WithDefaults().Families() {
		if leased := a.leased(family).Address; family.Address.IsValid() && leased != family.Address {
			differs("containerAddress", family.Address, leased)
		}
	}
	for _, each := range []struct {
		option    string
		asked, is Choice
	}{
		{"nat", c.NAT, a.NAT},
		{"allowInbound", c.AllowInbound, a.AllowInbound},
		{"isolated", c.Isolated, a.Isolated},
		{"spoofCheck", c.SpoofCheck, choice(a.SpoofCheck)},
	} {
		if each.asked != Default && each.asked != cmp.Or(each.is, No) {
			differs(each.option, each.asked == Yes, each.is == Yes)
		}
	}
	for _, publish := range c.Publish {
		if !slices.Contains(a.Publish, publish.WithDefaults()) {
			is := any("none")
			if len(a.Publish) > 0 {
				is = a.Publish
			}
			differs("publish", publish, is)
		}
	}
	return append(found, a.routeDifferences(c)...)
}

func choice(yes bool) Choice {
	if yes {
		return Yes
	}
	return No
}

// leased returns the lease of a family, or the zero Lease.
func (a Attachment) leased(family Family) Lease {
	for _, lease := range a.Leases {
		if lease.Address.Is4() == family.Gateway.Addr().Is4() {
			return lease
		}
	}
	return Lease{}
}

func (a Attachment) routeDifferences(c NetworkConfig) []string {
	var found []string
	// The gateways that aren't given are those that the attachment has.
	asked := NetworkConfig{Routes: c.Routes, DefaultRoute: No}.AllRoutes()
	for i, route := range asked {
		for _, lease := range a.Leases {
			if !route.Gateway.IsValid() && lease.Address.Is4() == route.Destination.Addr().Is4() {
				asked[i].Gateway = lease.Gateway.Addr()
			}
		}
		if !slices.Contains(a.Routes, asked[i]) {
			found = append(found, fmt.Sprintf("route %s via %s metric %d isn't there", route.Destination, asked[i].Gateway, route.Metric))
		}
	}
	for _, lease := range a.Leases {
		has := slices.ContainsFunc(a.Routes, func(route Route) bool {
			return route.Destination.Bits() == 0 && route.Destination.Addr().Is4() == lease.Address.Is4() && !slices.Contains(asked, route)
		})
		if c.DefaultRoute != Default && has != (c.DefaultRoute == Yes) {
			found = append(found, fmt.Sprintf("defaultRoute is %t, asked for is %t", has, !has))
			break
		}
	}
	return found
}
