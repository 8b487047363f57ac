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
	minSubnetBits6   = 16    // beyond are blocks of the registries (RFC 7020), nobody's own
	maxSubnetBits6   = 126   // network, gateway, two containers: IPv6 has no broadcast
	minMTU6          = 1280  // IPV6_MIN_MTU, linux/ipv6.h; RFC 8200 section 5
	defaultMetric6   = 1024  // IP6_RT_PRIO_USER, linux/ipv6_route.h
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
	// Gateway is the next hop, in the bridge's subnet of the same family. The zero
	// Addr means the bridge's own address.
	Gateway netip.Addr
	// Metric orders routes to one destination, the lowest first. 0 is the
	// kernel's own default: for IPv4 the strongest, for IPv6 1024.
	Metric int
}

// NetworkConfig is what is asked for, for one interface of one container. The
// zero value of every field means its default; a field that isn't zero counts as
// asked for when it is compared with an attachment that is there already.
type NetworkConfig struct {
	// BridgeName names the bridge on the host. "" means DefaultBridgeName.
	BridgeName string
	// BridgeIP is the bridge's IPv4 address, the containers' gateway. BridgeIP and
	// Subnet are given together. nil means no IPv4 where there is a BridgeIP6, and
	// otherwise that of DefaultBridgeAddress.
	BridgeIP net.IP
	// ContainerIP is the container's IPv4 address. nil leases the next free one.
	ContainerIP net.IP
	// Subnet is the IPv4 network of bridge and containers, from /8 to /30.
	Subnet *net.IPNet
	// BridgeIP6, ContainerIP6 and Subnet6, from /16 to /126, are the same for IPv6.
	// A nil BridgeIP6 means no IPv6. A nil ContainerIP6 leases, beside an IPv4 address,
	// the one as far from the beginning of its subnet, if it is free.
	BridgeIP6    net.IP
	ContainerIP6 net.IP
	Subnet6      *net.IPNet
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
	// NAT lets the containers of the bridge reach others by the host's addresses.
	// Default means Yes for a bridge that this run makes. This and the next two are of
	// the bridge: one that is there has to be as asked.
	NAT Choice
	// AllowInbound lets others open connections to the containers of the bridge.
	// Default means No for a bridge that this run makes.
	AllowInbound Choice
	// Isolated keeps the containers of the bridge from each other. Default means No
	// for a bridge that this run makes.
	Isolated Choice
	// SpoofCheck lets the container send from its own MAC and addresses only. Default
	// means Yes.
	SpoofCheck Choice
	// Publish are ports of the host that lead to the container.
	Publish []Publish
	// Namespace is the container's network namespace, open. It stays the caller's
	// to close. nil means that of the pid.
	Namespace *os.File
	// Deadline ends the run: it is looked at between calls to the kernel, and the
	// work is undone after it; but a Down that has begun to delete links goes on to
	// its end. The zero time means no end.
	Deadline time.Time
}

// WithDefaults returns the configuration with every default filled in that
// doesn't depend on the host.
func (c NetworkConfig) WithDefaults() NetworkConfig {
	c.BridgeName = cmp.Or(c.BridgeName, DefaultBridgeName)
	if c.BridgeIP == nil && c.Subnet == nil && c.BridgeIP6 == nil && c.Subnet6 == nil {
		// A constant that doesn't parse would fail every spec.
		c.BridgeIP, c.Subnet, _ = net.ParseCIDR(DefaultBridgeAddress)
	}
	c.VethNamePrefix = cmp.Or(c.VethNamePrefix, DefaultVethNamePrefix)
	c.ContainerInterface = cmp.Or(c.ContainerInterface, c.VethNamePrefix+"1")
	c.DefaultRoute = cmp.Or(c.DefaultRoute, Yes)
	c.NAT = cmp.Or(c.NAT, Yes)
	c.AllowInbound = cmp.Or(c.AllowInbound, No)
	c.Isolated = cmp.Or(c.Isolated, No)
	c.SpoofCheck = cmp.Or(c.SpoofCheck, Yes)
	return c
}

// Family is what is asked for in one family of addresses.
type Family struct {
	// Gateway is the bridge's address with the length of its subnet.
	Gateway netip.Prefix
	// Address is the container's, or the zero Addr where the next free one is to be
	// leased.
	Address netip.Addr
}

// Families are those that are asked for, IPv4 first. Defaults must be filled in.
func (c NetworkConfig) Families() []Family {
	var families []Family
	if c.Subnet != nil {
		families = append(families, family(c.BridgeIP, c.Subnet, c.ContainerIP))
	}
	if c.Subnet6 != nil {
		families = append(families, family(c.BridgeIP6, c.Subnet6, c.ContainerIP6))
	}
	return families
}

func family(bridgeIP net.IP, subnet *net.IPNet, containerIP net.IP) Family {
	bits, _ := subnet.Mask.Size()
	return Family{Gateway: netip.PrefixFrom(toAddr(bridgeIP), bits), Address: toAddr(containerIP)}
}

// familyOf returns that of an address.
func (c NetworkConfig) familyOf(addr netip.Addr) (Family, bool) {
	for _, family := range c.Families() {
		if family.Gateway.Addr().Is4() == addr.Is4() {
			return family, true
		}
	}
	return Family{}, false
}

// HasIPv6 says whether IPv6 is asked for.
func (c NetworkConfig) HasIPv6() bool { return c.Subnet6 != nil }

// AllRoutes returns the routes that the container is to have, the default routes
// first, each with its gateway. Defaults must be filled in.
func (c NetworkConfig) AllRoutes() []Route {
	var routes []Route
	if c.DefaultRoute == Yes {
		for _, family := range c.Families() {
			everywhere := netip.IPv4Unspecified()
			if family.Gateway.Addr().Is6() {
				everywhere = netip.IPv6Unspecified()
			}
			routes = append(routes, Route{Destination: netip.PrefixFrom(everywhere, 0)})
		}
	}
	routes = append(routes, c.Routes...)
	for i, route := range routes {
		if family, ok := c.familyOf(route.Destination.Addr()); ok && !route.Gateway.IsValid() {
			routes[i].Gateway = family.Gateway.Addr()
		}
		if route.Metric == defaultMetric6 && route.Destination.Addr().Is6() {
			routes[i].Metric = 0
		}
	}
	return routes
}

func toAddr(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}
