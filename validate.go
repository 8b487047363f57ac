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
	if (c.BridgeIP == nil) != (c.Subnet == nil) || (c.BridgeIP6 == nil) != (c.Subnet6 == nil) {
		return invalid("bridge address: the address and its subnet are given together, or neither")
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
		c.checkPublish,
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
	if c.Subnet != nil {
		if err := checkSubnet(c.BridgeIP, c.Subnet, net.IPv4len); err != nil {
			return err
		}
	}
	if c.Subnet6 != nil {
		return checkSubnet(c.BridgeIP6, c.Subnet6, net.IPv6len)
	}
	return nil
}

func checkSubnet(bridgeIP net.IP, subnet *net.IPNet, size int) error {
	version, least, most := 4, minSubnetBits, maxSubnetBits
	if size == net.IPv6len {
		version, least, most = 6, minSubnetBits6, maxSubnetBits6
	}
	if bits, length := subnet.Mask.Size(); length != 8*size || (bridgeIP.To4() == nil) != (version == 6) {
		return invalid("bridge address %s/%d: the address or the mask isn't one of IPv%d", bridgeIP, bits, version)
	}
	gateway := family(bridgeIP, subnet, nil).Gateway
	if bits := gateway.Bits(); bits < least || bits > most {
		return invalid("bridge address %s: the prefix must be between /%d and /%d", gateway, least, most)
	}
	if !isUnicast(gateway.Addr()) {
		return invalid("bridge address %s isn't an address that a device can have for others to reach", gateway)
	}
	if !subnet.Contains(bridgeIP) {
		return invalid("bridge address %s isn't in the subnet %s", bridgeIP, subnet)
	}
	return checkUsable("bridge address", gateway.Addr(), gateway)
}

// isUnicast leaves out what means nobody, many, this host (RFC 6890), or, in IPv6,
// something else on each link (RFC 4291 section 2.5.6).
func isUnicast(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsMulticast() || addr.IsUnspecified() {
		return false
	}
	if addr.Is4() {
		first := addr.As4()[0]
		return first != 0 && first < 240
	}
	return !addr.IsLinkLocalUnicast()
}

func (c NetworkConfig) checkContainerAddress() error {
	if c.ContainerIP != nil && c.Subnet == nil || c.ContainerIP6 != nil && c.Subnet6 == nil {
		return invalid("container address: the bridge has no address of its family: give that too, or leave this out")
	}
	for _, family := range c.Families() {
		addr, gateway := family.Address, family.Gateway
		given := c.ContainerIP
		if gateway.Addr().Is6() {
			given = c.ContainerIP6
		}
		switch {
		case given == nil:
			continue
		case !gateway.Contains(addr):
			return invalid("container address %s isn't in the bridge's subnet %s: choose one of that, or another bridge address", addr, gateway.Masked())
		case addr == gateway.Addr():
			return invalid("container address %s is the bridge's own, the gateway: choose another", addr)
		}
		if err := checkUsable("container address", addr, gateway); err != nil {
			return err
		}
	}
	return nil
}

// checkUsable refuses the first address of a subnet, which means the network itself
// or any of its routers (RFC 1122 section 3.2.1.3, RFC 4291 section 2.6.1), and in
// IPv4 the last, which means everybody in it.
func checkUsable(what string, addr netip.Addr, subnet netip.Prefix) error {
	network := subnet.Masked().Addr()
	switch {
	case addr == network:
		return invalid("%s %s is the network's own address in %s: choose another", what, addr, subnet.Masked())
	case addr.Is4() && addr == Broadcast(subnet):
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
	if c.MTU != 0 && c.MTU < minMTU6 && c.HasIPv6() {
		return invalid("mtu %d: IPv6 takes %d at least", c.MTU, minMTU6)
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
	for _, route := range c.AllRoutes() {
		if !route.Destination.IsValid() {
			return invalid("route %s: use a destination such as 192.168.0.0/16", route.Destination)
		}
		family, ok := c.familyOf(route.Destination.Addr())
		gateway := family.Gateway
		switch {
		case !ok || route.Destination.Addr().Is4In6():
			return invalid("route %s: the bridge has no address of its family: give that too, or leave this out", route.Destination)
		case route.Destination != route.Destination.Masked():
			return invalid("route %s has host bits; the network is %s", route.Destination, route.Destination.Masked())
		case !gateway.Contains(route.Gateway):
			return invalid("route %s: the gateway %s isn't in the bridge's subnet %s", route.Destination, route.Gateway, gateway.Masked())
		case gateway.Addr().Is4() && route.Gateway == Broadcast(gateway):
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

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
