package configurer

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/netsetgo/netsetgo/configurer/firewall"
)

// Changes of nftables that stand beside each other are made together: all or none. All
// are of netsetgo's own tables.

// AddTable and DeleteTable are of a whole table; it is deleted with all that is in it.
type (
	AddTable struct {
		Family  firewall.Family
		Version string // its comment
	}
	DeleteTable struct{ Family firewall.Family }
)

// AddSet makes a set or map, without elements.
type AddSet struct{ Set firewall.Set }

// AddChain makes a chain, without its rules.
type AddChain struct{ Chain firewall.Chain }

// AddRule adds a rule behind the others of a chain.
type AddRule struct {
	Chain firewall.Chain
	Rule  firewall.Rule
}

// AddElements and DeleteElements are of one set. To add what is there already changes
// nothing; ErrExists is of a key that is there with other data.
type (
	AddElements struct {
		Set      firewall.Set
		Elements []firewall.Element
	}
	DeleteElements struct {
		Set      firewall.Set
		Elements []firewall.Element
	}
)

// SetSysctl writes a sysctl of net, whose key has slashes: names of links may hold dots.
type SetSysctl struct{ Key, Value string }

// SetPort says how a bridge treats a port.
type SetPort struct {
	Link int
	Port Port
}

// PortGroups are the groups that SetPort makes a port forward like others: all that it
// can, not that of pause frames (BR_GROUPFWD_MACPAUSE, net/bridge/br_private.h).
const PortGroups = 0xffff &^ (1 << 1)

// AddPortMAC makes a MAC known to be a port's, also where the bridge has learnt it of
// another. See bridge(8), fdb.
type AddPortMAC struct {
	Link int
	MAC  net.HardwareAddr
}

// ForgetFlows makes the kernel forget what it knows of flows to a UDP port, of one family,
// whoever has it. There may be none.
type ForgetFlows struct {
	IPv6 bool
	Port int
}

func (c AddTable) doing() string    { return "making the rules' table of " + string(c.Family) }
func (c DeleteTable) doing() string { return "deleting the rules' table of " + string(c.Family) }
func (c AddSet) doing() string      { return "making the rules' set " + c.Set.Name }
func (c AddChain) doing() string    { return "making the rules' chain " + c.Chain.Name }
func (c AddRule) doing() string     { return fmt.Sprintf("adding the rule %q", c.Rule) }
func (c AddElements) doing() string { return "adding to the rules' set " + elements(c.Set, c.Elements) }

func (c DeleteElements) doing() string {
	return "deleting from the rules' set " + elements(c.Set, c.Elements)
}
func (c SetSysctl) doing() string { return fmt.Sprintf("setting sysctl %s to %s", c.Key, c.Value) }
func (c SetPort) doing() string   { return fmt.Sprintf("setting link %d up as a port", c.Link) }
func (c AddPortMAC) doing() string {
	return fmt.Sprintf("making %s known as the MAC of port %d", c.MAC, c.Link)
}

func (c ForgetFlows) doing() string {
	return fmt.Sprintf("forgetting flows to UDP port %d", c.Port)
}

func (c AddTable) command(Names) string {
	return nft("add table", c.Family, fmt.Sprintf("{ comment %q; }", c.Version))
}

func (c DeleteTable) command(Names) string { return nft("delete table", c.Family, "") }

func (c AddSet) command(Names) string {
	kind := "add set"
	if c.Set.Data != nil {
		kind = "add map"
	}
	return nft(kind, c.Set.Family, fmt.Sprintf("%s { %s; }", c.Set.Name, c.Set))
}

func (c AddChain) command(Names) string {
	text := c.Chain.Name
	if c.Chain.Type != "" {
		text += fmt.Sprintf(" { type %s hook %s priority %d; }", c.Chain.Type, c.Chain.Hook, c.Chain.Priority)
	}
	return nft("add chain", c.Chain.Family, text)
}

func (c AddRule) command(Names) string {
	return nft("add rule", c.Chain.Family, fmt.Sprintf("%s %s comment %q", c.Chain.Name, c.Rule, c.Rule.Why))
}

func (c AddElements) command(names Names) string {
	return nft("add element", c.Set.Family, elements(c.Set, named(c.Elements, names)))
}

func (c DeleteElements) command(names Names) string {
	keys := make([]firewall.Element, len(c.Elements))
	for i, element := range c.Elements {
		keys[i] = firewall.Element{Key: element.Key}
	}
	return nft("delete element", c.Set.Family, elements(c.Set, named(keys, names)))
}

// named has the names of links for their indices, as nft(8) takes them too; of those that are
// gone, the indices.
func named(list []firewall.Element, names Names) []firewall.Element {
	all := slices.Clone(list)
	for i, element := range all {
		all[i].Key = slices.Clone(element.Key)
		for k, value := range element.Key {
			index, ok := value.(firewall.Index)
			if !ok {
				continue
			}
			if name := names(int(index)); name != "" {
				all[i].Key[k] = firewall.LinkName(name)
			}
		}
	}
	return all
}

func nft(verb string, family firewall.Family, rest string) string {
	return "nft " + Quote(strings.TrimSpace(fmt.Sprintf("%s %s %s %s", verb, family, firewall.Name, rest)))
}

func elements(set firewall.Set, list []firewall.Element) string {
	texts := make([]string, len(list))
	for i, element := range list {
		texts[i] = element.String()
	}
	return fmt.Sprintf("%s { %s }", set.Name, strings.Join(texts, ", "))
}

func (c SetSysctl) command(Names) string { return "sysctl -w " + Quote(c.Key+"="+c.Value) }

func (c SetPort) command(names Names) string {
	return setLink(names, c.Link, fmt.Sprintf("type bridge_slave %s group_fwd_mask %d", c.Port, PortGroups))
}

// String is what a port is like, as ip-link(8) has it.
func (p Port) String() string {
	return fmt.Sprintf("learning %s locked %s isolated %s hairpin %s", onOff(p.Learning), onOff(p.Locked), onOff(p.Isolated), onOff(p.Hairpin))
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// conntrack(8) says so where there are none, and fails.
func (c ForgetFlows) command(Names) string {
	family := "ipv4"
	if c.IPv6 {
		family = "ipv6"
	}
	return fmt.Sprintf("conntrack -D -f %s -p udp --dport %d || true", family, c.Port)
}

func (c AddPortMAC) command(names Names) string {
	return fmt.Sprintf("bridge fdb replace %s dev %s master static", c.MAC, Quote(names(c.Link)))
}
