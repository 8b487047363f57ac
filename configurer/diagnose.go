package configurer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// Diagnose implements netsetgo.Diagnoser: it looks at all bridges of ours, and where there
// is none, at what would keep that of netConfig from the world. It takes no lock.
func (h *Host) Diagnose(netConfig netsetgo.NetworkConfig) ([]netsetgo.Difference, error) {
	r := newRun(h.kernel, netConfig)
	defer r.close()
	if err := r.connect(); err != nil {
		return nil, err
	}
	c := comparison{run: r, found: []netsetgo.Difference{}}
	if err := c.diagnose(); err != nil {
		return nil, fmt.Errorf("checking the host: %w", err)
	}
	return c.found, nil
}

func (c *comparison) diagnose() error {
	_, err := c.host.Table(firewall.Outlines()[0])
	if errors.Is(err, ErrNoFirewall) {
		c.differs("nftables in the kernel", present, missing, "modprobe nf_tables")
		return nil
	}
	if err != nil {
		return err
	}
	bridges, err := c.ourBridges()
	if err != nil {
		return err
	}
	for _, bridge := range bridges {
		if err := c.diagnoseBridge(bridge); err != nil {
			return err
		}
	}
	if len(bridges) > 0 {
		return c.compareStale()
	}
	open, err := c.diagnoseNone()
	if err != nil || open {
		return err // what mends that takes the rules along
	}
	return c.compareStale()
}

// diagnoseNone is for a host without a bridge of ours: containers may be on those of others, or
// somebody deleted the last one by hand, and what it let in is open still.
func (c *comparison) diagnoseNone() (open bool, err error) {
	if err := c.compareBlocks(c.config.BridgeName); err != nil {
		return false, err
	}
	hostLinks, err := c.host.Links(kindVeth)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(hostLinks, func(link Link) bool { return link.Group == lease.Group && unowned(link) == 0 }) {
		return false, c.compareRules()
	}
	lost, err := c.lostWas(nil)
	if err != nil {
		return false, err
	}
	for _, was := range lost {
		others, err := c.openedByOthers(was)
		if err != nil {
			return false, err
		}
		link, ok, err := c.linkOf(was)
		if err != nil {
			return false, err
		}
		if others || !ok {
			continue
		}
		key := keyOf(was, link)
		value, err := c.host.Sysctl(key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		if err == nil && value != was.Value {
			open = true
			c.differs("sysctl "+key, was.Value, value+", left by a bridge that is gone", "netsetgo down -id none")
		}
	}
	return open, nil
}

// compareStale looks for what containers, bridges and uplinks left in the rules that are gone.
func (c *comparison) compareStale() error {
	stale, err := c.stale()
	for _, element := range stale {
		c.differs("element "+c.text(element)+" of "+element.Set.Name, "none", "left over", c.onHost(DeleteElements{element.Set, []firewall.Element{element}}))
	}
	return err
}

func (c *comparison) diagnoseBridge(bridge Link) error {
	addresses, err := c.host.Addresses(bridge.Index)
	if err != nil {
		return err
	}
	c.bridge, c.config = bridge, withSubnets(c.config, addresses)
	if err := c.compareProtection(); err != nil {
		return err
	}
	if err := c.compareOverlaps(addresses); err != nil {
		return err
	}
	return c.comparePorts()
}

// withSubnets asks for what a bridge has addresses of.
func withSubnets(config netsetgo.NetworkConfig, addresses []netip.Prefix) netsetgo.NetworkConfig {
	config.BridgeIP, config.Subnet, config.BridgeIP6, config.Subnet6 = nil, nil, nil, nil
	for _, address := range addresses {
		ip := net.IP(address.Addr().AsSlice())
		subnet := &net.IPNet{IP: net.IP(address.Masked().Addr().AsSlice()), Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen())}
		if address.Addr().Is4() {
			config.BridgeIP, config.Subnet = ip, subnet
		} else {
			config.BridgeIP6, config.Subnet6 = ip, subnet
		}
	}
	return config
}

// compareOverlaps looks for routes that lead a part of the bridge's subnets elsewhere.
func (c *comparison) compareOverlaps(addresses []netip.Prefix) error {
	routes, err := c.host.Routes()
	if err != nil {
		return err
	}
	for _, route := range routes {
		within := func(address netip.Prefix) bool {
			return address.Bits() <= route.Destination.Bits() && address.Contains(route.Destination.Addr())
		}
		if route.Link == c.bridge.Index || !slices.ContainsFunc(addresses, within) {
			continue
		}
		link, err := c.host.Link(Which{Index: route.Link})
		if err != nil {
			return err
		}
		mend := Command(DeleteRoute{route}, func(int) string { return link.Name })
		c.differs(fmt.Sprintf("route %s by %s, into the subnet of %s", route.Destination, link.Name, c.bridge.Name), "none", present, mend)
	}
	return nil
}

// comparePorts looks for ports that keep a bridge though no container is behind them.
func (c *comparison) comparePorts() error {
	ports, err := c.host.Ports(c.bridge.Index)
	if err != nil {
		return err
	}
	for _, port := range ports {
		what := fmt.Sprintf("port %s of %s", port.Name, c.bridge.Name)
		if port.Group != lease.Group {
			c.differs(what, "netsetgo's", "somebody else's", fmt.Sprintf("ip link set dev %s nomaster", Quote(port.Name)))
			continue
		}
		dying, err := c.dying(port)
		if err != nil {
			return err
		}
		mend := Command(DeleteLink{port.Index}, func(int) string { return port.Name })
		switch {
		case dying:
			c.differs(what, "a container's", "left by one that is gone", mend)
		case !lease.ReadOwner(port.Altnames).Complete():
			c.differs(what, "a container's", "incomplete: its run is at work, or was killed", mend)
		}
	}
	return nil
}
