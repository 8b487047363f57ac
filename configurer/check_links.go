package configurer

import (
	"net/netip"
	"slices"

	"github.com/netsetgo/netsetgo"
)

// compareLinks looks at the two ends.
func (c *comparison) compareLinks() error {
	host, peer := c.hostLink, c.peer
	mtu, err := c.mtu()
	if err != nil {
		return err
	}
	if mtu == 0 {
		// The bridge's, which follows its ports: of the two ends, the lower was changed.
		mtu = max(host.MTU, peer.MTU)
	}
	there := c.config.ContainerInterface + " in the container"
	c.differs("name of "+there, c.config.ContainerInterface, peer.Name, anew)
	c.differs("state of "+host.Name, "up", state(host), c.onHost(SetUp{host.Index, true}))
	c.differs("state of "+there, "up", state(peer), c.inside(SetUp{peer.Index, true}))
	c.differs("MTU of "+host.Name, mtu, host.MTU, c.onHost(SetMTU{host.Index, mtu}))
	c.differs("MTU of "+there, mtu, peer.MTU, c.inside(SetMTU{peer.Index, mtu}))
	if c.addresses == nil {
		return nil
	}
	mac := c.mac(addressesOf(c.addresses))
	c.differs("MAC of "+there, mac, peer.MAC, c.inside(SetMAC{peer.Index, mac}))
	addresses, err := c.container.Addresses(peer.Index)
	for _, asked := range c.addresses {
		if err == nil {
			err = c.comparePeerAddress(asked, addresses)
		}
	}
	return err
}

// comparePeerAddress looks for an address among those of the peer.
func (c *comparison) comparePeerAddress(asked netip.Prefix, addresses []netip.Prefix) error {
	there, peer := c.config.ContainerInterface+" in the container", c.peer
	if slices.Contains(addresses, asked) {
		if err := c.compareSubnet(c.container, peer, asked); err != nil {
			return err
		}
	}
	// The first of a subnet is the one that packets leave with; one added is the last.
	first := slices.IndexFunc(addresses, func(address netip.Prefix) bool { return address.Masked() == asked.Masked() })
	switch {
	case first < 0:
		c.differs("address of "+there, asked, list(addresses), c.inside(AddAddress{peer.Index, asked}))
	case addresses[first] != asked:
		c.differs("address of "+there, asked, list(addresses), anew)
	}
	return nil
}

func (c *comparison) compareLoopback() error {
	lo, err := c.container.Link(Which{Index: loopback})
	if err != nil {
		return err
	}
	c.differs("state of lo in the container", "up", state(lo), c.inside(SetUp{loopback, true}))
	if !lo.Up {
		return nil // what brings it up gives it its address (inetdev_event, net/ipv4/devinet.c)
	}
	addresses, err := c.container.Addresses(loopback)
	const asked = "127.0.0.1/8"
	if err == nil && !slices.Contains(addresses, netip.MustParsePrefix(asked)) {
		c.differs("address of lo in the container", asked, list(addresses), InNamespace(c.namespace, "ip address add "+asked+" dev lo"))
	}
	return err
}

func (c *comparison) compareRoutes() error {
	routes, err := c.container.Routes()
	if err != nil {
		return err
	}
	asked := c.config.AllRoutes()
	for _, each := range asked {
		route := Route{Route: each, Link: c.peer.Index}
		if !slices.Contains(routes, route) {
			c.differs("route "+describeRoute(each)+" of the container", present, missing, InNamespace(c.namespace, route.command("replace", c.nameInside)))
		}
	}
	for _, route := range routes {
		if c.config.DefaultRoute == netsetgo.No && route.Link == c.peer.Index && route.Destination.Bits() == 0 && !slices.Contains(asked, route.Route) {
			c.differs("route "+describeRoute(route.Route)+" of the container", "none", present, c.inside(DeleteRoute{route}))
		}
	}
	return nil
}
