// Package firewall says which rules of nftables keep what netsetgo promises, and which
// elements a bridge and a container add to them. It is plain data and text: it never
// speaks to the kernel, and knows nothing of what is there.
package firewall

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// The sets of the table of what is routed.
var (
	bridges       = Set{Family: Inet, Name: "bridges", Key: []Type{TypeName}}
	masqueraded   = Set{Family: Inet, Name: "masqueraded", Key: []Type{TypeName}}
	inbound       = Set{Family: Inet, Name: "inbound", Key: []Type{TypeName}}
	isolated      = Set{Family: Inet, Name: "isolated", Key: []Type{TypeName}}
	same          = Set{Family: Inet, Name: "same", Key: []Type{TypeName, TypeName}}
	uplinks       = Set{Family: Inet, Name: "uplinks", Key: []Type{TypeFamily, TypeName}}
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
const Version = "1"

// Tables are all of netsetgo's, without elements: the same on every host.
func Tables() []Table { return []Table{routed(), bridged()} }

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
			bridges, masqueraded, inbound, isolated, same, uplinks, routers,
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
				rule("the host is a router for bridges only", Drop, in(uplinks, NFProto, InName)),
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

// Uplink is the element of a link whose forwarding netsetgo switched on.
func Uplink(name string, ipv6 bool) Element {
	family := Family4
	if ipv6 {
		family = Family6
	}
	return Element{uplinks, []Value{family, LinkName(name)}, nil}
}

// Router6 is the element of a host that netsetgo let forward IPv6 for all its links.
func Router6() Element { return Element{routers, []Value{Family6}, nil} }

// Sender are the elements of a container, that it sends from its own addresses only.
func Sender(mac net.HardwareAddr, addrs []netip.Addr) []Element {
	var elements []Element
	for _, addr := range addrs {
		if addr.Is4() {
			elements = append(elements, Element{senders4, []Value{MAC(mac), Address{addr}}, nil})
			continue
		}
		elements = append(elements,
			Element{senders6, []Value{MAC(mac), Address{addr}}, nil},
			Element{targets6, []Value{MAC(mac), TargetAddress{addr}}, nil})
	}
	return elements
}

// Locked are the elements of a host link that sends from one MAC only, where the kernel
// doesn't know locked ports.
func Locked(index int, mac net.HardwareAddr) []Element {
	return []Element{{locked, []Value{Index(index)}, nil}, {ownMACs, []Value{Index(index), MAC(mac)}, nil}}
}

// Unchecked is the element of a host link whose container may send what it likes.
func Unchecked(index int) Element {
	return Element{unchecked, []Value{Index(index)}, nil}
}

// Ports are the elements of a published port of a container, and what marks its addresses
// as those of one.
func Ports(p netsetgo.Publish, addrs []netip.Addr) []Element {
	p = p.WithDefaults()
	var elements []Element
	for _, addr := range addrs {
		if p.HostIP.IsValid() && p.HostIP.Is4() != addr.Is4() {
			continue
		}
		for i := range p.Count {
			key := []Value{Protocol(p.Protocol), Port(p.HostPort + i)}
			to := portsOf(addr.Is4(), false)
			if p.HostIP.IsValid() && !p.HostIP.IsUnspecified() {
				key = append([]Value{Address{p.HostIP}}, key...)
				to = portsOf(addr.Is4(), true)
			}
			elements = append(elements, Element{to, key, []Value{Address{addr}, Port(p.ContainerPort + i)}})
		}
		elements = append(elements, Published(addr))
	}
	return elements
}

// portsOf is the map of published ports of a family, of all addresses or of one each.
func portsOf(is4, byAddress bool) Set {
	switch {
	case is4 && byAddress:
		return addressPorts4
	case is4:
		return ports4
	case byAddress:
		return addressPorts6
	}
	return ports6
}

// Published is the element that marks an address as one that ports are published of, so
// that a run that leases it needn't look at all ports.
func Published(addr netip.Addr) Element {
	if addr.Is4() {
		return Element{published4, []Value{Address{addr}}, nil}
	}
	return Element{published6, []Value{Address{addr}}, nil}
}

// PortMaps are the maps of all published ports.
func PortMaps() []Set { return []Set{ports4, ports6, addressPorts4, addressPorts6} }

// LinkSets are the sets of host links by their indices, which no other link ever has.
func LinkSets() []Set { return []Set{unchecked, locked, ownMACs} }

// LinkIndex is the host link's in an element of a LinkSet.
func (e Element) LinkIndex() int {
	index, _ := e.Key[0].(Index)
	return int(index)
}

// SenderSets are the sets of who may send what.
func SenderSets() []Set { return []Set{senders4, senders6, targets6} }

// Sends says whether an element of a SenderSet is of a MAC.
func (e Element) Sends(mac net.HardwareAddr) bool {
	sender, ok := e.Key[0].(MAC)
	return ok && slices.Equal(net.HardwareAddr(sender), mac)
}

// ContainerAddress is the container's address in an element of a published port or of a
// sender; ok is false of other elements.
func (e Element) ContainerAddress() (addr netip.Addr, ok bool) {
	values := e.Key
	if e.Data != nil {
		values = e.Data
	}
	for _, value := range values {
		switch value := value.(type) {
		case Address:
			return value.Addr, true
		case TargetAddress:
			return value.Addr, true
		}
	}
	return addr, false
}

// UDPPort is the host's in an element of a published port of UDP; ok is false of others.
func (e Element) UDPPort() (port int, ok bool) {
	if e.Data == nil {
		return 0, false
	}
	protocol, number := e.Key[len(e.Key)-2], e.Key[len(e.Key)-1]
	udpPort, ok := number.(Port)
	return int(udpPort), ok && protocol.String() == udp.Name
}

// SharesPort says whether two elements are of one port of the host, of which one has it
// by all addresses and the other by one only.
func (e Element) SharesPort(other Element) bool {
	if e.Data == nil || other.Data == nil || len(e.Key) == len(other.Key) {
		return false
	}
	last := func(e Element) string { return values(e.Key[len(e.Key)-2:]) }
	addr, _ := e.ContainerAddress()
	otherAddr, _ := other.ContainerAddress()
	return last(e) == last(other) && addr.Is4() == otherAddr.Is4()
}
