package netsetgo

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
	"unicode"
)

// What a zero field of NetworkConfig stands for.
const (
	DefaultBridgeName     = "brg0"
	DefaultBridgeAddress  = "10.10.10.1/24"
	DefaultVethNamePrefix = "veth"
)

const (
	maxInterfaceName = 15 // IFNAMSIZ less its NUL, linux/if.h
	maxPrefix        = 11 // leaves four digits for the number
	maxID            = 1024
	minMTU           = 68    // ETH_MIN_MTU, linux/if_ether.h; RFC 791 section 3.1
	maxMTU           = 65535 // ETH_MAX_MTU, linux/if_ether.h
	maxSubnetBits    = 30    // network, gateway, one container, broadcast
)

// ErrInvalid is what every error of Validate is: the request is wrong in itself,
// whatever the state of the host.
var ErrInvalid = errors.New("invalid network configuration")

// Choice is a yes or no that remembers whether anybody made it.
type Choice int

// Default is a choice not made; it is neither compared with what is there, nor
// an error where it differs.
const (
	Default Choice = iota
	Yes
	No
)

// Route is one more route of the container.
type Route struct {
	// Destination is the network to be reached, without host bits.
	Destination netip.Prefix
	// Gateway is the next hop, in the bridge's subnet. The zero Addr means the
	// bridge's own address.
	Gateway netip.Addr
	// Metric orders routes to one destination, the lowest first. 0 is the
	// kernel's own default for IPv4, and the strongest.
	Metric int
}

// NetworkConfig is what is asked for, for one interface of one container. The
// zero value of every field means its default; a field that isn't zero counts as
// asked for when it is compared with an attachment that is there already.
type NetworkConfig struct {
	// BridgeName names the bridge on the host. "" means DefaultBridgeName.
	BridgeName string
	// BridgeIP is the bridge's address, the containers' gateway. nil means that
	// of DefaultBridgeAddress; BridgeIP and Subnet are given together.
	BridgeIP net.IP
	// ContainerIP is the container's address. nil leases the next free one.
	ContainerIP net.IP
	// Subnet is the network of bridge and containers, IPv4, /30 or wider.
	Subnet *net.IPNet
	// VethNamePrefix begins the names of the pair, at most 11 bytes: the host
	// end is called <prefix><number>. "" means DefaultVethNamePrefix.
	VethNamePrefix string
	// ContainerInterface names the end inside the container. "" means
	// <VethNamePrefix>1.
	ContainerInterface string
	// ID is the container's name; one container of that name may be attached by
	// one container interface at a time. "" means that none is known.
	ID string
	// IDIsHint says that ID was not asked for but came along, from an OCI state:
	// an attachment that carries another one is no difference.
	IDIsHint bool
	// MTU of both ends in bytes, and of the bridge where this run makes it. 0
	// means that of the device of the host's default route; without one, that of
	// the bridge.
	MTU int
	// MAC of the container's end. nil means one derived from its address, so that
	// an address used again doesn't meet its old MAC in its neighbours' memory.
	MAC net.HardwareAddr
	// Routes are added beside the default route.
	Routes []Route
	// DefaultRoute asks for a default route by way of the bridge. Default means Yes.
	DefaultRoute Choice
	// Namespace is the container's network namespace, open. It stays the caller's
	// to close. nil means that of the pid.
	Namespace *os.File
	// Deadline ends the run: it is looked at between calls to the kernel, and the
	// work is undone after it. The zero time means no end.
	Deadline time.Time
}

// WithDefaults returns the configuration with every default filled in that
// doesn't depend on the host.
func (c NetworkConfig) WithDefaults() NetworkConfig {
	c.BridgeName = cmp.Or(c.BridgeName, DefaultBridgeName)
	if c.BridgeIP == nil && c.Subnet == nil {
		// A constant that doesn't parse would fail every spec.
		c.BridgeIP, c.Subnet, _ = net.ParseCIDR(DefaultBridgeAddress)
	}
	c.VethNamePrefix = cmp.Or(c.VethNamePrefix, DefaultVethNamePrefix)
	c.ContainerInterface = cmp.Or(c.ContainerInterface, c.VethNamePrefix+"1")
	c.DefaultRoute = cmp.Or(c.DefaultRoute, Yes)
	return c
}

// Gateway returns the bridge's address with the length of its subnet. Defaults
// must be filled in.
func (c NetworkConfig) Gateway() netip.Prefix {
	bits, _ := c.Subnet.Mask.Size()
	return netip.PrefixFrom(toAddr(c.BridgeIP), bits)
}

// ContainerAddr returns the container's address, or the zero Addr where the next
// free one is to be leased.
func (c NetworkConfig) ContainerAddr() netip.Addr {
	return toAddr(c.ContainerIP)
}

// AllRoutes returns the routes that the container is to have, the default route
// first, each with its gateway. Defaults must be filled in.
func (c NetworkConfig) AllRoutes() []Route {
	var routes []Route
	if c.DefaultRoute == Yes {
		routes = append(routes, Route{Destination: netip.PrefixFrom(netip.IPv4Unspecified(), 0)})
	}
	routes = append(routes, c.Routes...)
	for i := range routes {
		if !routes[i].Gateway.IsValid() {
			routes[i].Gateway = c.Gateway().Addr()
		}
	}
	return routes
}

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
	if bits < 1 || bits > maxSubnetBits {
		return invalid("bridge address %s: the prefix must be between /1 and /%d, or no container fits in", gateway, maxSubnetBits)
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
		return invalid("container address %s isn't in the bridge's subnet %s", addr, gateway.Masked())
	case addr == gateway.Addr():
		return invalid("container address %s is the bridge's own, the gateway", addr)
	}
	return checkUsable("container address", addr, gateway)
}

// checkUsable refuses the first and the last address of a subnet, which mean the
// network itself and everybody in it (RFC 1122 section 3.2.1.3).
func checkUsable(what string, addr netip.Addr, subnet netip.Prefix) error {
	network := subnet.Masked().Addr()
	switch addr {
	case network:
		return invalid("%s %s is the network's own address in %s", what, addr, subnet.Masked())
	case Broadcast(subnet):
		return invalid("%s %s is the broadcast address of %s", what, addr, subnet.Masked())
	}
	return nil
}

// Broadcast returns the last address of an IPv4 subnet.
func Broadcast(subnet netip.Prefix) netip.Addr {
	bytes := subnet.Masked().Addr().As4()
	last := binary.BigEndian.Uint32(bytes[:]) | 1<<(32-subnet.Bits()) - 1
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
		case int64(route.Metric) < 0 || int64(route.Metric) > 1<<32-1:
			return invalid("route %s: metric %d isn't between 0 and 4294967295", route.Destination, route.Metric)
		case seen[key{route.Destination, route.Metric}]:
			return invalid("route %s is asked for twice with metric %d", route.Destination, route.Metric)
		}
		seen[key{route.Destination, route.Metric}] = true
	}
	return nil
}

func toAddr(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

func maskLength(subnet *net.IPNet) string {
	bits, _ := subnet.Mask.Size()
	return fmt.Sprint(bits)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
