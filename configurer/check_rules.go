package configurer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/firewall"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

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
		at, err := c.host.Table(table.Outline())
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
	there := firewall.ByName(found)
	for _, element := range wanted {
		is, mend := missing, c.onHost(AddElements{element.Set, []firewall.Element{element}})
		if other, ok := there[element.Name()]; ok {
			is = c.text(other)
			mend = c.onHost(DeleteElements{element.Set, []firewall.Element{element}}) + "; " + mend
		}
		c.differs("element of "+element.Set.Name, c.text(element), is, mend)
	}
	for _, element := range unwanted {
		if _, ok := there[element.Name()]; ok {
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
