package configurer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

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
	_, err := c.host.Table(firewall.Tables()[0])
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

// compareProtection looks at the rules that hold for a bridge of ours, and at what lets its
// containers out.
func (c *comparison) compareProtection() error {
	note, ok := lease.ReadNote(c.bridge.Alias)
	if !ok {
		c.differs("note of "+c.bridge.Name, "netsetgo's", "the alias "+strconv.Quote(c.bridge.Alias), emptyAlias(c.bridge)+"; "+netsetgo.UpAgain)
		return nil
	}
	if note.Policy == "" {
		c.differs("policy of "+c.bridge.Name, present, missing, netsetgo.UpAgain)
		return nil
	}
	policy := firewall.ParsePolicy(note.Policy)
	for _, compare := range []func() error{
		c.compareRules,
		func() error {
			wanted, unwanted, err := c.bridgeElements(c.bridge, note)
			if err != nil {
				return err
			}
			return c.compareElements(wanted, unwanted)
		},
		c.compareForwarding,
		c.compareLocalnet,
		func() error { return c.compareBlocks(c.bridge.Name) },
		func() error { return c.compareBridged(policy.Isolated) },
	} {
		if err := compare(); err != nil {
			return err
		}
	}
	return nil
}

// compareRules reads all rules, of which `up` only looks at the number.
func (c *comparison) compareRules() error {
	for _, table := range firewall.Tables() {
		what := fmt.Sprintf("rules of table %s %s", table.Family, firewall.Name)
		at, err := c.host.Table(table)
		if err != nil {
			return err
		}
		if !at.There {
			c.differs(what, present, missing, netsetgo.UpAgain)
			c.rulesGone = true
			continue
		}
		rules, err := c.host.Rules(table.Family)
		if err != nil {
			return err
		}
		var wanted []RuleAt
		for _, chain := range table.Chains {
			for _, rule := range chain.Rules {
				wanted = append(wanted, RuleAt{chain.Name, rule.Why})
			}
		}
		if at.Version != firewall.Version || !slices.Equal(rules, wanted) {
			c.differs(what, "those of this netsetgo", "others", Command(DeleteTable{table.Family}, nil)+"; "+netsetgo.UpAgain)
		}
	}
	return nil
}

// compareElements looks for elements of the rules' sets.
func (c *comparison) compareElements(wanted, unwanted []firewall.Element) error {
	if c.rulesGone {
		return nil // which has been told, and what mends it brings them
	}
	found, err := c.host.Find(slices.Concat(wanted, unwanted)...)
	if err != nil {
		return err
	}
	for _, element := range wanted {
		is, mend := missing, c.onHost(AddElements{element.Set, []firewall.Element{element}})
		if there := slices.IndexFunc(found, element.SameKey); there >= 0 {
			is = c.text(found[there])
			mend = c.onHost(DeleteElements{element.Set, []firewall.Element{element}}) + "; " + mend
		}
		c.differs("element of "+element.Set.Name, c.text(element), is, mend)
	}
	for _, element := range unwanted {
		if slices.ContainsFunc(found, element.SameKey) {
			c.differs("element of "+element.Set.Name, "none", c.text(element), c.onHost(DeleteElements{element.Set, []firewall.Element{element}}))
		}
	}
	return nil
}

// text is an element with the names of links.
func (c *comparison) text(element firewall.Element) string {
	return named([]firewall.Element{element}, c.nameOnHost)[0].String()
}

// compareForwarding looks at what the host forwards: to write ip_forward changes it for all
// links (inet_forward_change, net/ipv4/devinet.c).
func (c *comparison) compareForwarding() error {
	for _, change := range c.bridgeSysctls(c.bridge) {
		sysctl := change.(SetSysctl)
		c.differs("sysctl "+sysctl.Key, sysctl.Value, "0", Command(sysctl, nil))
	}
	if c.bridge.Settings.HasIPv6 {
		sysctl := SetSysctl{sysctl6(c.bridge.Name, "accept_ra"), "0"}
		c.differs("sysctl "+sysctl.Key, 0, c.bridge.Settings.AcceptRA, Command(sysctl, nil))
	}
	closed, err := c.closedUplinks()
	if err != nil {
		return err
	}
	for _, uplink := range closed {
		// Which remembers how it was.
		c.differs("sysctl "+keyOf(uplink.was, uplink.link), uplink.open, uplink.was.Value, netsetgo.UpAgain)
	}
	return nil
}

// compareLocalnet looks whether published ports are those of the host's 127.0.0.1. A run that
// is at work, or was killed, may not have come to that.
func (c *comparison) compareLocalnet() error {
	ports, err := c.host.Ports(c.bridge.Index)
	asks := func(port Link) bool {
		owner := lease.ReadOwner(port.Altnames)
		return owner.Complete() && c.asksLocalnet(owner.Ports)
	}
	if !c.bridge.Settings.RouteLocalnet && slices.ContainsFunc(ports, asks) {
		change := SetSysctl{sysctl4(c.bridge.Name, "route_localnet"), "1"}
		c.differs("sysctl "+change.Key, change.Value, "0", Command(change, nil))
	}
	return err
}

// compareBlocks looks at what others keep from being forwarded.
func (c *comparison) compareBlocks(bridge string) error {
	blocks, err := c.blocks(bridge)
	for _, block := range blocks {
		c.differs(block.String(), "open for "+bridge, "closed", block.mend(bridge))
	}
	return err
}

// compareBridged looks whether what is bridged is shown to the rules for what is forwarded
// (br_netfilter), where that does harm: others drop it, and isolated containers don't reach
// each other's published ports.
func (c *comparison) compareBridged(isolated bool) error {
	blocks, err := c.blocks(c.bridge.Name)
	if err != nil {
		return err
	}
	var ports []Link
	if isolated {
		if ports, err = c.host.Ports(c.bridge.Index); err != nil {
			return err
		}
	}
	publishes := func(port Link) bool { return len(lease.ReadOwner(port.Altnames).Ports) > 0 }
	if len(blocks) == 0 && !slices.ContainsFunc(ports, publishes) {
		return nil
	}
	for _, key := range []string{"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"} {
		value, err := c.host.Sysctl(key)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		c.differs("sysctl "+key, "0", value, Command(SetSysctl{key, "0"}, nil))
	}
	return nil
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
