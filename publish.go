package netsetgo

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Publish is a port of the host that leads to one of the container, or a range of ports.
type Publish struct {
	// HostIP is the host's address that the port is of. The zero Addr means all of
	// them, 0.0.0.0 and :: all of one family.
	HostIP netip.Addr
	// HostPort and ContainerPort are the ports, or the first of each range.
	HostPort, ContainerPort int
	// Count is how many ports the ranges have; 0 means 1.
	Count int
	// Protocol is tcp, udp or sctp; "" means tcp.
	Protocol string
}

// Protocols are those of which ports can be published.
var Protocols = []string{"tcp", "udp", "sctp"}

// maxPublish is how many ports one Publish may have.
const maxPublish = 1024

// maxPort is the highest port (RFC 6335 section 6).
const maxPort = 65535

// WithDefaults fills in what zero fields stand for.
func (p Publish) WithDefaults() Publish {
	if p.Count == 0 {
		p.Count = 1
	}
	if p.Protocol == "" {
		p.Protocol = Protocols[0]
	}
	return p
}

// String is the port as -publish has it.
func (p Publish) String() string {
	p = p.WithDefaults()
	var text strings.Builder
	switch {
	case p.HostIP.Is6():
		fmt.Fprintf(&text, "[%s]:", p.HostIP)
	case p.HostIP.Is4():
		fmt.Fprintf(&text, "%s:", p.HostIP)
	}
	fmt.Fprintf(&text, "%d", p.HostPort)
	if p.Count > 1 {
		fmt.Fprintf(&text, "-%d", p.HostPort+p.Count-1)
	}
	fmt.Fprintf(&text, ":%d/%s", p.ContainerPort, p.Protocol)
	return text.String()
}

// reaches says whether it is published by addresses of a family.
func (p Publish) reaches(is4 bool) bool {
	return !p.HostIP.IsValid() || p.HostIP.Is4() == is4
}

// overlaps says whether two have a port in common.
func (p Publish) overlaps(other Publish) bool {
	everywhere := func(ip netip.Addr) bool { return !ip.IsValid() || ip.IsUnspecified() }
	family := !p.HostIP.IsValid() || !other.HostIP.IsValid() || p.HostIP.Is4() == other.HostIP.Is4()
	return p.Protocol == other.Protocol && family &&
		(everywhere(p.HostIP) || everywhere(other.HostIP) || p.HostIP == other.HostIP) &&
		p.HostPort < other.HostPort+other.Count && other.HostPort < p.HostPort+p.Count
}

func (c NetworkConfig) checkPublish() error {
	var seen []Publish
	for _, publish := range c.Publish {
		given := publish.HostIP
		p := publish.WithDefaults()
		asked := func(family Family) bool { return p.reaches(family.Gateway.Addr().Is4()) }
		switch {
		case !slices.Contains(Protocols, p.Protocol):
			return invalid("publish %s: use tcp, udp or sctp", p)
		case p.Count < 1 || p.Count > maxPublish:
			return invalid("publish %s: a range has 1 to %d ports", p, maxPublish)
		case p.HostPort < 1 || p.ContainerPort < 1 || p.HostPort+p.Count-1 > maxPort || p.ContainerPort+p.Count-1 > maxPort:
			return invalid("publish %s: a port is between 1 and %d", p, maxPort)
		case given.Zone() != "" || given.Is4In6() || given.IsMulticast() || given == netip.IPv6Loopback():
			return invalid("publish %s: %s isn't an address by which ports can be published", p, given)
		case !slices.ContainsFunc(c.Families(), asked):
			return invalid("publish %s: the container has no address of that family", p)
		}
		for _, other := range seen {
			if p.overlaps(other) {
				return invalid("publish %s: %s has a port in common", p, other)
			}
		}
		seen = append(seen, p)
	}
	return nil
}
