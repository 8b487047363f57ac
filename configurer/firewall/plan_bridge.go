package firewall

import "slices"

// Types of ICMPv6 (RFC 4861 section 4, RFC 2710 section 3, RFC 3810 section 5.2), by the
// names of nft(8).
var (
	routerAdvert    = Constant{Name: "nd-router-advert", Value: []byte{134}}
	neighborSolicit = Constant{Name: "nd-neighbor-solicit", Value: []byte{135}}
	neighborAdvert  = Constant{Name: "nd-neighbor-advert", Value: []byte{136}}
	redirect        = Constant{Name: "nd-redirect", Value: []byte{137}}
	reportV1        = Constant{Name: "mld-listener-report", Value: []byte{131}}
	reportV2        = Constant{Name: "mld2-listener-report", Value: []byte{143}}
)

var (
	vlan      = big("8021q", 0x8100) // ETH_P_8021Q, ETH_P_8021AD, linux/if_ether.h
	vlanOuter = big("8021ad", 0x88a8)
	// firstFragment4 is the offset of a fragment of IPv4 (RFC 791 section 3.1), 0 also of
	// what isn't one; noOffset6 that of IPv6 (RFC 8200 section 4.5), beside three flags.
	firstFragment4 = Part{"& 0x1fff == 0", []byte{0x1f, 0xff}}
	noOffset6      = Part{"0", []byte{0xff, 0xf8}}
	// fragment6 is no protocol of IPv4 (IPPROTO_FRAGMENT, linux/in6.h): to be another one
	// takes a header that can be read.
	fragment6 = Constant{Name: "ipv6-frag", Value: []byte{44}}
)

// has is of a field that a packet has, whatever is in it.
func has(field Field) Match {
	return Match{Fields: []Field{field}, Op: AtLeast, Value: Part{"0", make([]byte, 8)}}
}

// Ports to which servers of DHCP answer (RFC 2131 section 4.1, RFC 8415 section 7.2).
const (
	dhcpClient  = Port(68)
	dhcp6Client = Port(546)
)

// bridged is the table of what passes through bridges. What comes in by a host link is
// accepted by a rule that knows its sender, or dropped. That the MAC is the container's is
// the port's own to see to (SetPort).
//
// A field that a packet hasn't got matches nothing. Of fragments, Linux 6.18 takes some
// bytes for ports all the same (nft_payload_fast_eval, net/netfilter/nf_tables_core.c), and
// 5.10 as many as are asked for (nft_payload_eval, net/netfilter/nft_payload.c): hence the
// looks at their offsets, before all looks at ports, and at 8 bytes at once.
func bridged() Table {
	arp := func(why, do string, matches ...Match) Rule { return of(etherARP, why, do, matches) }
	ipv4 := func(why, do string, matches ...Match) Rule { return of(etherIPv4, why, do, matches) }
	ipv6 := func(why, do string, matches ...Match) Rule { return of(etherIPv6, why, do, matches) }
	icmp := func(kind Constant) []Match { return []Match{is(icmpv6, L4Proto), is(kind, ICMPv6Type)} }
	noRoutes := func(first ...Match) []Rule {
		var rules []Rule
		for _, kind := range []Constant{routerAdvert, redirect} {
			matches := append([]Match{is(etherIPv6, EtherType)}, icmp(kind)...)
			rules = append(rules, Rule{append(slices.Clone(first), matches...), Verdict{Do: Drop}, "no routes from or for containers"})
		}
		return rules
	}
	return Table{
		Family: Bridge,
		Sets:   []Set{unchecked, locked, ownMACs, senders4, senders6, targets6},
		Chains: []Chain{
			{Bridge, "prerouting", "filter", "prerouting", priorityBridged, slices.Concat(
				[]Rule{
					rule("not from a container", Accept, isNot(ours, InGroup)),
					rule("asked for by -spoofCheck=false", Accept, in(unchecked, InIndex)),
					rule("another's MAC, where ports can't be locked", Drop, in(locked, InIndex), notIn(ownMACs, InIndex, FromMAC)),
					rule("VLANs hide what is in them", Drop, is(vlan, VLANType)),
					rule("VLANs hide what is in them", Drop, is(vlanOuter, VLANType)),
					arp("its own address and MAC", Accept, in(senders4, FromMAC, ARPAddress), in(senders4, ARPMAC, ARPAddress)),
					ipv4("answers of a DHCP server", Drop, is(firstFragment4, FragOffset4), is(udp, L4Proto), is(dhcpClient, ToPort)),
					ipv4("its own address, in a header that holds", Accept, isNot(fragment6, L4Proto), in(senders4, FromMAC, FromAddress4)),
					ipv6("says where its own address is", Accept, append(icmp(neighborAdvert), in(senders6, FromMAC, FromAddress6), in(targets6, FromMAC, Target))...),
					ipv6("says where others are", Drop, icmp(neighborAdvert)...),
				},
				noRoutes(),
				[]Rule{
					ipv6("its own address, in later fragments", Accept, isNot(noOffset6, FragOffset6), in(senders6, FromMAC, FromAddress6)),
					ipv6("answers of a DHCP server", Drop, is(udp, L4Proto), is(dhcp6Client, ToPort)),
					ipv6("looks for its own address", Accept, append(icmp(neighborSolicit), is(nobody6, FromAddress6), in(targets6, FromMAC, Target))...),
					ipv6("says what it listens to", Accept, append(icmp(reportV1), is(nobody6, FromAddress6))...),
					ipv6("says what it listens to", Accept, append(icmp(reportV2), is(nobody6, FromAddress6))...),
					ipv6("its own address", Accept, has(Transport), in(senders6, FromMAC, FromAddress6)),
					rule("all else", Drop),
				},
			)},
			{Bridge, "postrouting", "filter", "postrouting", priorityBridged, noRoutes(is(ours, OutGroup))},
		},
	}
}

// of is a rule for one protocol above Ethernet.
func of(protocol Constant, why, do string, matches []Match) Rule {
	return rule(why, do, append([]Match{is(protocol, EtherType)}, matches...)...)
}
