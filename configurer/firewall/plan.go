// Package firewall says which rules of nftables keep what netsetgo promises, and which
// elements a bridge and a container add to them. It is plain data and text: it never
// speaks to the kernel, and knows nothing of what is there.
package firewall

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/netsetgo/netsetgo/configurer/lease"
)

// The sets of the table of what is routed.
var (
	bridges       = Set{Family: Inet, Name: "bridges", Key: []Type{TypeName}}
	masqueraded   = Set{Family: Inet, Name: "masqueraded", Key: []Type{TypeName}}
	inbound       = Set{Family: Inet, Name: "inbound", Key: []Type{TypeName}}
	isolated      = Set{Family: Inet, Name: "isolated", Key: []Type{TypeName}}
	same          = Set{Family: Inet, Name: "same", Key: []Type{TypeName, TypeName}}
	uplinks       = Set{Family: Inet, Name: "uplinks", Key: []Type{TypeFamily, TypeIndex}}
	exempt        = Set{Family: Inet, Name: "exempt", Key: []Type{TypeIndex}} // which no rule asks
	carriers      = Set{Family: Inet, Name: "carriers", Key: []Type{TypeIndex, TypeIndex}}
	routers       = Set{Family: Inet, Name: "routers", Key: []Type{TypeFamily}}
	ports4        = Set{Family: Inet, Name: "ports4", Key: []Type{TypeProtocol, TypePort}, Data: []Type{TypeAddress4, TypePort}}
	ports6        = Set{Family: Inet, Name: "ports6", Key: []Type{TypeProtocol, TypePort}, Data: []Type{TypeAddress6, TypePort}}
	addressPorts4 = Set{Family: Inet, Name: "addressports4", Key: []Type{TypeAddress4, TypeProtocol, TypePort}, Data: []Type{TypeAddress4, TypePort}}
	addressPorts6 = Set{Family: Inet, Name: "addressports6", Key: []Type{TypeAddress6, TypeProtocol, TypePort}, Data: []Type{TypeAddress6, TypePort}}
	published4    = Set{Family: Inet, Name: "published4", Key: []Type{TypeAddress4}}
	published6    = Set{Family: Inet, Name: "published6", Key: []Type{TypeAddress6}}
)

// The sets of the table of what passes through bridges.
var (
	unchecked = Set{Family: Bridge, Name: "unchecked", Key: []Type{TypeIndex}}
	senders4  = Set{Family: Bridge, Name: "senders4", Key: []Type{TypeMAC, TypeAddress4}}
	senders6  = Set{Family: Bridge, Name: "senders6", Key: []Type{TypeMAC, TypeAddress6}}
	locked    = Set{Family: Bridge, Name: "locked", Key: []Type{TypeIndex}}
	ownMACs   = Set{Family: Bridge, Name: "macs", Key: []Type{TypeIndex, TypeMAC}}
	targets6  = Set{Family: Bridge, Name: "targets6", Key: []Type{TypeMAC, TypeTarget}}
)

// Values that rules compare with.
var (
	loopback4  = Network{netip.MustParsePrefix("127.0.0.0/8")}
	loopback6  = Address{netip.IPv6Loopback()}
	linkLocal6 = Network{netip.MustParsePrefix("fe80::/10")}
	nobody6    = Address{netip.IPv6Unspecified()}
	local      = Constant{Name: "local", Value: []byte{2, 0, 0, 0}} // RTN_LOCAL, linux/rtnetlink.h
	replies    = Bits{"established,related", 2 | 4}                 // NF_CT_STATE_BIT, linux/netfilter/nf_conntrack_common.h
	strays     = Bits{"invalid,untracked", 1 | 64}
	translated = Bits{"dnat", 1 << 5} // IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h
	ours       = Group(lease.Group)
	etherARP   = big("arp", 0x0806) // ETH_P_*, linux/if_ether.h
	etherIPv4  = big("ip", 0x0800)
	etherIPv6  = big("ip6", 0x86dd)
	udp        = Protocol("udp")
	icmpv6     = Constant{Name: "ipv6-icmp", Value: []byte{58}}
)

// Priorities of hooks (enum nf_ip_hook_priorities, linux/netfilter_ipv4.h).
const (
	priorityRaw    = -300
	priorityDNAT   = -100
	priorityFilter = 0
	prioritySNAT   = 100
	// priorityBridged is before bridged packets are shown to what is routed
	// (NF_BR_PRI_FILTER_BRIDGED, linux/netfilter_bridge.h).
	priorityBridged = -200
)

func is(value Value, fields ...Field) Match      { return Match{Fields: fields, Value: value} }
func isNot(value Value, fields ...Field) Match   { return Match{Fields: fields, Value: value, Op: Not} }
func in(set Set, fields ...Field) Match          { return Match{Fields: fields, Set: set.Name} }
func notIn(set Set, fields ...Field) Match       { return Match{Fields: fields, Set: set.Name, Op: Not} }
func rule(why, do string, matches ...Match) Rule { return Rule{matches, Verdict{Do: do}, why} }

// Version is a number of the rules, which changes with them: a table of another is made
// anew.
const Version = "5"

// Tables are all of netsetgo's, without elements: the same on every host.
func Tables() []Table { return []Table{routed(), bridged()} }

// Outlines are those of Tables, for runs that find them in place: to put the rules themselves
// together takes longer than to ask the kernel for their number.
func Outlines() []Outline {
	return []Outline{
		{Inet, map[string]int{"publish": 8, "raw": 2, "prerouting": 1, "output": 1, "postrouting": 4, "forward": 10}},
		{Bridge, map[string]int{"prerouting": 19, "postrouting": 2}},
	}
}

func routed() Table {
	publish := func(family string, to Set, fields ...Field) Rule {
		proto := Family4
		if family == IPv6 {
			proto = Family6
		}
		return Rule{
			[]Match{is(proto, NFProto)},
			Verdict{Do: DNAT, To: family, Fields: fields, Map: to.Name},
			"published ports",
		}
	}
	jump := Rule{[]Match{is(local, ToType)}, Verdict{Do: Jump, To: "publish"}, "for the host itself"}
	return Table{
		Family: Inet,
		Sets: []Set{
			bridges, masqueraded, inbound, isolated, same, carriers, uplinks, exempt, routers,
			ports4, ports6, addressPorts4, addressPorts6, published4, published6,
		},
		Chains: []Chain{
			{Inet, "publish", "", "", 0, []Rule{
				publish(IPv4, addressPorts4, ToAddress4, L4Proto, ToPort),
				publish(IPv4, ports4, L4Proto, ToPort),
				rule("nothing is routed from ::1", Return, is(Family6, NFProto), is(loopback6, ToAddress6)),
				rule("nor from link-local addresses", Return, is(Family6, NFProto), is(linkLocal6, ToAddress6)),
				publish(IPv6, addressPorts6, ToAddress6, L4Proto, ToPort),
				publish(IPv6, ports6, L4Proto, ToPort),
			}},
			{Inet, "raw", "filter", "prerouting", priorityRaw, []Rule{
				rule("the host's own addresses are its own", Drop, in(bridges, InName), is(Family4, NFProto), is(loopback4, ToAddress4)),
				rule("also as senders", Drop, in(bridges, InName), is(Family4, NFProto), is(loopback4, FromAddress4)),
			}},
			{Inet, "prerouting", "nat", "prerouting", priorityDNAT, []Rule{jump}},
			{Inet, "output", "nat", "output", priorityDNAT, []Rule{jump}},
			{Inet, "postrouting", "nat", "postrouting", prioritySNAT, []Rule{
				rule("published ports among neighbours", Masquerade, in(same, InName, OutName), is(translated, Status)),
				rule("published ports from the host, and from what is bridged", Masquerade, in(bridges, OutName), is(Index(0), InIndex), is(translated, Status)),
				rule("neighbours know each other", Accept, in(same, InName, OutName)),
				rule("to the world by the host's address", Masquerade, in(masqueraded, InName)),
			}},
			{Inet, "forward", "filter", "forward", priorityFilter, []Rule{
				rule("replies", Accept, is(replies, State)),
				rule("published ports", Accept, is(translated, Status)),
				rule("neighbours", Accept, in(same, InName, OutName), notIn(isolated, InName)),
				rule("isolated neighbours", Drop, in(same, InName, OutName)),
				rule("what masquerading leaves as it is", Drop, in(masqueraded, InName), is(strays, State)),
				rule("bridges that are open", Accept, in(inbound, OutName)),
				rule("bridges are closed", Drop, in(bridges, OutName)),
				rule("through a bridge of somebody else, not by the host", Accept, in(carriers, InIndex, OutIndex)),
				rule("the host is a router for bridges only", Drop, in(uplinks, NFProto, InIndex)),
				rule("also where it forwards for all links or none", Drop, in(routers, NFProto), notIn(bridges, InName)),
			}},
		},
	}
}

// Policy is how a bridge is closed and open.
type Policy struct{ NAT, Inbound, Isolated bool }

// String is the policy as a bridge remembers it: never "".
func (p Policy) String() string {
	words := []string{"closed"}
	if p.Inbound {
		words[0] = "open"
	}
	if p.NAT {
		words = append(words, "nat")
	}
	if p.Isolated {
		words = append(words, "isolated")
	}
	return strings.Join(words, ",")
}

// ParsePolicy reads what String wrote.
func ParsePolicy(text string) Policy {
	words := strings.Split(text, ",")
	has := func(word string) bool { return slices.Contains(words, word) }
	return Policy{NAT: has("nat"), Inbound: has("open"), Isolated: has("isolated")}
}

// Elements are those of a bridge.
func (p Policy) Elements(bridge string) []Element {
	name := LinkName(bridge)
	elements := []Element{{bridges, []Value{name}, nil}, {same, []Value{name, name}, nil}}
	for _, each := range []struct {
		set  Set
		asks bool
	}{{masqueraded, p.NAT}, {inbound, p.Inbound}, {isolated, p.Isolated}} {
		if each.asks {
			elements = append(elements, Element{each.set, []Value{name}, nil})
		}
	}
	return elements
}
