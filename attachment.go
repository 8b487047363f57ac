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
	// BridgeName and HostLink are the names of the bridge and of the host end.
	BridgeName, HostLink string
	// BridgeAddresses are all of the bridge.
	BridgeAddresses []netip.Prefix
	// Address is the one leased, and Gateway the bridge's in the same subnet; the
	// zero Prefix where somebody took that away.
	Address netip.Addr
	Gateway netip.Prefix
	// ContainerInterface is the name that the attachment was made with.
	ContainerInterface string
	// Sandbox is a path to the container's namespace, or the name it was opened by.
	Sandbox string
	// ID is the container's; "" where none was known.
	ID string
	// MTU and MAC of the container's end.
	MTU int
	MAC net.HardwareAddr
	// Routes of the container that leave by this interface.
	Routes []Route
}

// Differences lists, one phrase each, what the configuration asks for and the
// attachment hasn't. Only what was asked for is compared, not defaults.
func (a Attachment) Differences(c NetworkConfig) []string {
	var found []string
	differs := func(option string, asked, is any) {
		found = append(found, fmt.Sprintf("%s is %v, asked for is %v", option, is, asked))
	}
	if c.BridgeName != "" && c.BridgeName != a.BridgeName {
		differs("bridgeName", c.BridgeName, cmp.Or(a.BridgeName, "none"))
	}
	if number, ok := strings.CutPrefix(a.HostLink, c.VethNamePrefix); !ok || c.VethNamePrefix != "" && strings.Trim(number, "0123456789") != "" {
		differs("vethNamePrefix", c.VethNamePrefix, "not that of "+a.HostLink)
	}
	if c.ID != "" && !c.IDIsHint && c.ID != a.ID {
		differs("id", fmt.Sprintf("%q", c.ID), fmt.Sprintf("%q", a.ID))
	}
	if c.MTU != 0 && c.MTU != a.MTU {
		differs("mtu", c.MTU, a.MTU)
	}
	if c.MAC != nil && c.MAC.String() != a.MAC.String() {
		differs("mac", c.MAC, a.MAC)
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
