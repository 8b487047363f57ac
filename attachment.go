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
	// Address is the one leased, and Gateway the bridge's in the same subnet; the
	// zero Prefix where somebody took that away.
	Address netip.Addr
	Gateway netip.Prefix
	// Sandbox is a path to the container's namespace, or the name it was opened by.
	Sandbox string
	// ID is the container's; "" where none was known.
	ID string
	// Routes of the container that leave by this interface.
	Routes []Route
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

// Difference is something of an attachment that isn't as it is asked for.
type Difference struct {
	// What is the thing, such as "MTU of eth0 in the container".
	What string
	// Asked is how it should be, and Is how it is: Missing where it isn't there.
	Asked, Is string
	// Mend is the command that mends it; "" where only connecting the container anew
	// does.
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
	bridgeAsked := c.BridgeIP != nil
	asked := c.WithDefaults()
	if bridgeAsked && !slices.Contains(a.BridgeAddresses, asked.Gateway()) {
		differs("bridgeAddress", asked.Gateway(), a.BridgeAddresses)
	}
	if c.ContainerIP != nil && asked.ContainerAddr() != a.Address {
		differs("containerAddress", asked.ContainerAddr(), a.Address)
	}
	return append(found, a.routeDifferences(c)...)
}

func (a Attachment) routeDifferences(c NetworkConfig) []string {
	var found []string
	asked := make([]Route, 0, len(c.Routes))
	for _, route := range c.Routes {
		if !route.Gateway.IsValid() {
			route.Gateway = c.WithDefaults().Gateway().Addr()
			if c.BridgeIP == nil {
				route.Gateway = a.Gateway.Addr()
			}
		}
		asked = append(asked, route)
		if !slices.Contains(a.Routes, route) {
			found = append(found, fmt.Sprintf("route %s via %s metric %d isn't there", route.Destination, route.Gateway, route.Metric))
		}
	}
	hasDefault := false
	for _, route := range a.Routes {
		hasDefault = hasDefault || route.Destination.Bits() == 0 && !slices.Contains(asked, route)
	}
	if c.DefaultRoute != Default && hasDefault != (c.DefaultRoute == Yes) {
		found = append(found, fmt.Sprintf("defaultRoute is %t, asked for is %t", hasDefault, !hasDefault))
	}
	return found
}
