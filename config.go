package netsetgo

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
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
	minSubnetBits    = 8     // beyond, a subnet holds addresses that no device can have
	maxSubnetBits    = 30    // network, gateway, one container, broadcast
)

// ErrInvalid is what every error of Validate is: the request is wrong in itself,
// whatever the state of the host.
var ErrInvalid = errors.New("invalid network configuration")

// Choice is a yes or no that remembers whether anybody made it.
type Choice int

// Default is a choice not made: what it stands for isn't compared with what is
// there. Yes and No were asked for.
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
	// Subnet is the network of bridge and containers, IPv4, from /8 to /30.
	Subnet *net.IPNet
	// VethNamePrefix begins the names of the pair, at most 11 bytes: the host link
	// is called <prefix><number>. "" means DefaultVethNamePrefix.
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

func toAddr(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}
