package netsetgo

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
)

// Validate reports the first thing that is wrong with the configuration in
// itself, as an ErrInvalid. It asks nothing of the kernel.
func (c NetworkConfig) Validate() error {
	if (c.BridgeIP == nil) != (c.Subnet == nil) {
		return invalid("bridge address: BridgeIP and Subnet are given together, or neither")
	}
	c = c.WithDefaults()
	checks := []func() error{
		func() error { return checkName("bridge name", c.BridgeName, maxInterfaceName) },
		func() error { return checkName("veth name prefix", c.VethNamePrefix, maxPrefix) },
		func() error { return checkName("container interface", c.ContainerInterface, maxInterfaceName) },
		c.checkID,
		c.checkBridgeAddress,
		c.checkContainerAddress,
		c.checkLink,
		c.checkRoutes,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkName allows less than the kernel does (dev_valid_name, net/core/dev.c):
// a name also becomes a path below /proc/sys and part of other names, and "%d"
// is a pattern to the kernel.
func checkName(what, name string, most int) error {
	switch {
	case name == "":
		return invalid("%s is empty", what)
	case len(name) > most:
		return invalid("%s %q is %d bytes long; at most %d fit", what, name, len(name), most)
	case name == "all" || name == "default" || name == "lo":
		return invalid("%s %q is a name with a meaning of its own; choose another", what, name)
	}
	for i, r := range name {
		if isAlphanumeric(r) || i > 0 && strings.ContainsRune("_.-", r) {
			continue
		}
		return invalid("%s %q: use letters, digits, and after the first of them '_', '.' and '-'", what, name)
	}
	return nil
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// checkID keeps ids to what ip(8) takes as an altname, so that every name that
// netsetgo gives can be given and taken away by hand.
func (c NetworkConfig) checkID() error {
	if len(c.ID) > maxID {
		return invalid("id is %d bytes long; at most %d are taken", len(c.ID), maxID)
	}
	for _, r := range c.ID {
		if r == '/' || r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return invalid("id %q: use printable characters without spaces and slashes", c.ID)
		}
	}
	return nil
}

func (c NetworkConfig) checkBridgeAddress() error {
	if c.BridgeIP.To4() == nil || c.Subnet.IP.To4() == nil {
		return invalid("bridge address %s/%s: only IPv4 is supported yet", c.BridgeIP, maskLength(c.Subnet))
	}
	bits, size := c.Subnet.Mask.Size()
	if size != 32 {
		return invalid("bridge address: the mask of %s isn't one of IPv4", c.Subnet)
	}
	gateway := c.Gateway()
	if bits < minSubnetBits || bits > maxSubnetBits {
		return invalid("bridge address %s: the prefix must be between /%d and /%d", gateway, minSubnetBits, maxSubnetBits)
	}
	if addr := gateway.Addr(); addr.IsLoopback() || addr.IsMulticast() || addr.IsUnspecified() || addr.As4()[0] >= 240 || addr.As4()[0] == 0 {
		return invalid("bridge address %s isn't an address that a device can have", gateway)
	}
	if !c.Subnet.Contains(c.BridgeIP) {
		return invalid("bridge address %s isn't in the subnet %s", c.BridgeIP, c.Subnet)
	}
	return checkUsable("bridge address", gateway.Addr(), gateway)
}

func (c NetworkConfig) checkContainerAddress() error {
	if c.ContainerIP == nil {
		return nil
	}
	addr, gateway := c.ContainerAddr(), c.Gateway()
	switch {
	case !addr.Is4():
		return invalid("container address %s: only IPv4 is supported yet", c.ContainerIP)
	case !gateway.Contains(addr):
		return invalid("container address %s isn't in the bridge's subnet %s: choose one of that, or another bridge address", addr, gateway.Masked())
	case addr == gateway.Addr():
		return invalid("container address %s is the bridge's own, the gateway: choose another", addr)
	}
	return checkUsable("container address", addr, gateway)
}

// checkUsable refuses the first and the last address of a subnet, which mean the
// network itself and everybody in it (RFC 1122 section 3.2.1.3).
func checkUsable(what string, addr netip.Addr, subnet netip.Prefix) error {
	network := subnet.Masked().Addr()
	switch addr {
	case network:
		return invalid("%s %s is the network's own address in %s: choose another", what, addr, subnet.Masked())
	case Broadcast(subnet):
		return invalid("%s %s is the broadcast address of %s: choose another", what, addr, subnet.Masked())
	}
	return nil
}

// Broadcast returns the last address of an IPv4 subnet: all ones in the host's
// part (RFC 919 section 7).
func Broadcast(subnet netip.Prefix) netip.Addr {
	bytes := subnet.Masked().Addr().As4()
	last := binary.BigEndian.Uint32(bytes[:]) | (1<<(32-subnet.Bits()) - 1)
	binary.BigEndian.PutUint32(bytes[:], last)
	return netip.AddrFrom4(bytes)
}

func (c NetworkConfig) checkLink() error {
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		return invalid("mtu %d: use %d to %d, or 0 for the default", c.MTU, minMTU, maxMTU)
	}
	if c.MAC == nil {
		return nil
	}
	if len(c.MAC) != 6 {
		return invalid("mac %s: use six bytes, as in 02:00:00:00:00:01", c.MAC)
	}
	if c.MAC[0]&1 != 0 || string(c.MAC) == string(make([]byte, 6)) {
		return invalid("mac %s isn't the address of one device: the first byte must be even, and not all may be zero", c.MAC)
	}
	return nil
}

func (c NetworkConfig) checkRoutes() error {
	type key struct {
		destination netip.Prefix
		metric      int
	}
	seen := map[key]bool{}
	gateway := c.Gateway()
	for _, route := range c.AllRoutes() {
		switch {
		case !route.Destination.IsValid() || !route.Destination.Addr().Is4():
			return invalid("route %s: only IPv4 destinations such as 192.168.0.0/16 are supported yet", route.Destination)
		case route.Destination != route.Destination.Masked():
			return invalid("route %s has host bits; the network is %s", route.Destination, route.Destination.Masked())
		case !gateway.Contains(route.Gateway):
			return invalid("route %s: the gateway %s isn't in the bridge's subnet %s", route.Destination, route.Gateway, gateway.Masked())
		case route.Gateway == Broadcast(gateway):
			return invalid("route %s: the gateway %s is the broadcast address of %s: choose another", route.Destination, route.Gateway, gateway.Masked())
		case route.Destination == gateway.Masked() && route.Metric == 0:
			return invalid("route %s is that of the bridge's subnet, which is there of itself: leave it out", route.Destination)
		case int64(route.Metric) < 0 || int64(route.Metric) > 1<<32-1:
			return invalid("route %s: metric %d isn't between 0 and 4294967295", route.Destination, route.Metric)
		case seen[key{route.Destination, route.Metric}]:
			return invalid("route %s is asked for twice with metric %d: leave one out, or the default route that is made of itself", route.Destination, route.Metric)
		}
		seen[key{route.Destination, route.Metric}] = true
	}
	return nil
}

func maskLength(subnet *net.IPNet) string {
	bits, _ := subnet.Mask.Size()
	return fmt.Sprint(bits)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
