package kernel_test

import (
	"strings"

	"github.com/netsetgo/netsetgo/configurer"
)

var pastings = []pasting{
	{"a bridge", "", func(place) configurer.Change {
		return configurer.AddBridge{Name: "brg1", MAC: mac("6e:73:0a:0a:0a:01"), Group: 7238503, Index: new(int)}
	}},
	{"a bridge of a name with dots, dashes and a digit first", "", func(place) configurer.Change {
		return configurer.AddBridge{Name: "1.br_x-y.z", MAC: mac("6e:73:0a:0a:0a:01"), Group: 7238503, Index: new(int)}
	}},
	{"a bridge of a name that is a word of ip's", "", func(place) configurer.Change {
		return configurer.AddBridge{Name: "up", MAC: mac("6e:73:0a:0a:0a:01"), Group: 7238503, Index: new(int)}
	}},
	{"a pair", "", func(p place) configurer.Change { return pairOf(p, "brg0", 1400) }},
	{"a pair of another MTU than its bridge's", "", func(p place) configurer.Change { return pairOf(p, "brg0", 65535) }},
	{
		"a pair on a bridge with dots, which is down", "", func(p place) configurer.Change { return pairOf(p, "br.0-x", 1280) },
	},
	{"no pair any more", "", func(p place) configurer.Change { return configurer.DeleteLink{Link: p.index("p")} }},
	{"no bridge any more", "", func(p place) configurer.Change { return configurer.DeleteLink{Link: p.index("brg0")} }},
	{"up", "ip link set dev q down", func(p place) configurer.Change { return configurer.SetUp{Link: p.index("q"), Up: true} }},
	{"down", "", func(p place) configurer.Change { return configurer.SetUp{Link: p.index("q")} }},
	{"lo, down", "", func(place) configurer.Change { return configurer.SetUp{Link: 1} }},
	{"an MTU", "", func(p place) configurer.Change { return configurer.SetMTU{Link: p.index("p"), MTU: 1281} }},
	{"a MAC", "", func(p place) configurer.Change {
		return configurer.SetMAC{Link: p.index("q"), MAC: mac("6e:73:0a:0a:0a:02")}
	}},
	{"an alias", "", alias("netsetgo next=10.10.10.3 number=1")},
	{"an alias in the place of another", "ip link set dev brg0 alias before", alias("after")},
	{"an odd alias", "", alias(odd)},
	{"an alias that a shell would run", "", alias("$(touch /run/pasted)`touch /run/pasted`;touch /run/pasted")},
	{"no alias any more", "ip link set dev brg0 alias before", alias("")},
	{"no automatic IPv6", "ip link set dev p addrgenmode eui64", func(p place) configurer.Change {
		return configurer.SilenceIPv6{Link: p.index("p")}
	}},
	{"a lease", "", altname("netsetgo:a:9a37:brg0:10.10.10.2")},
	{"one more name", "ip link property add dev p altname before", altname("netsetgo:n:a69a:eth0:4026531840")},
	{"an id with quotes", "", altname(`netsetgo:c:0000:eth0:it's-"odd"-$(touch` + "`id`" + `)\n;&|<>#*?{a,b}!`)},
	{"an id that is cut", "", altname("netsetgo:c:0000:eth0:" + strings.Repeat("x", 65) + "-0123456789abcdef0123456789abcdef~")},
	{"an id that isn't of ASCII", "", altname("netsetgo:c:b087:eth0:~é家🐘:web-1.2_3")},
	{"an address", "", address("10.1.2.3/20")},
	{"an address without a broadcast address of its own", "", address("10.1.2.3/32")},
	{"an address of two", "", address("10.1.2.2/31")},
	{"an address of the loopback", "ip address flush dev lo", func(place) configurer.Change {
		return configurer.AddAddress{Link: 1, Address: prefix("127.0.0.1/8")}
	}},
	{"no address any more", "ip address add 10.0.0.9/24 dev brg0; ip address add 10.7.0.1/16 dev brg0", func(p place) configurer.Change {
		return configurer.DeleteAddress{Link: p.index("brg0"), Address: prefix("10.0.0.9/24")}
	}},
	{"a default route", "", func(p place) configurer.Change {
		return configurer.AddRoute{Route: routeBy(p.index("brg0"), "0.0.0.0/0", "10.0.0.2", 0)}
	}},
	{"a route with a metric", "", func(p place) configurer.Change {
		return configurer.AddRoute{Route: routeBy(p.index("brg0"), "192.168.0.0/16", "10.0.0.3", 4294967295)}
	}},
	{
		"no default route any more", "ip route add default via 10.0.0.2 proto static; ip route add default via 10.0.0.2 proto static metric 5",
		func(p place) configurer.Change {
			return configurer.DeleteRoute{Route: routeBy(p.index("brg0"), "0.0.0.0/0", "10.0.0.2", 0)}
		},
	},
	{
		"no route with a metric any more",
		"for metric in 1 5 9; do ip route add 192.168.0.0/16 via 10.0.0.2 proto static metric $metric; done",
		func(p place) configurer.Change {
			return configurer.DeleteRoute{Route: routeBy(p.index("brg0"), "192.168.0.0/16", "10.0.0.2", 5)}
		},
	},
	{"an address of IPv6", "", address("fd10::1/64")},
	{"an address of IPv6 of the link alone", "", address("fe80::1/64")},
	{"no address of IPv6 any more", "ip address add fd10::1/64 dev brg0 nodad; ip address add fd10::2/64 dev brg0 nodad", func(p place) configurer.Change {
		return configurer.DeleteAddress{Link: p.index("brg0"), Address: prefix("fd10::1/64")}
	}},
	{"a default route of IPv6", "ip address add fd10::1/64 dev brg0 nodad", func(p place) configurer.Change {
		return configurer.AddRoute{Route: routeBy(p.index("brg0"), "::/0", "fd10::2", 0)}
	}},
	{"a route of IPv6 with a metric", "ip address add fd10::1/64 dev brg0 nodad", func(p place) configurer.Change {
		return configurer.AddRoute{Route: routeBy(p.index("brg0"), "fd20::/16", "fd10::2", 7)}
	}},
	{
		"no route of IPv6 any more", "ip address add fd10::1/64 dev brg0 nodad; for metric in 5 7; do ip route add fd20::/16 via fd10::2 proto static metric $metric; done",
		func(p place) configurer.Change {
			return configurer.DeleteRoute{Route: routeBy(p.index("brg0"), "fd20::/16", "fd10::2", 7)}
		},
	},
	{"a sysctl of a link whose name has dots", "", func(place) configurer.Change {
		return configurer.SetSysctl{Key: "net/ipv4/conf/br.0-x/forwarding", Value: "1"}
	}},
	{"a sysctl of IPv6", "", func(place) configurer.Change {
		return configurer.SetSysctl{Key: "net/ipv6/conf/brg0/accept_ra", Value: "0"}
	}},
	{"a port with all that it can be", "", func(p place) configurer.Change {
		return configurer.SetPort{Link: p.index("p"), Port: configurer.Port{Learning: true, Locked: true, Isolated: true, Hairpin: true}}
	}},
	{"a port with nothing of it", "ip link set dev p type bridge_slave learning on locked on isolated on hairpin on", func(p place) configurer.Change {
		return configurer.SetPort{Link: p.index("p")}
	}},
	{"a port that is locked and doesn't learn", "", func(p place) configurer.Change {
		return configurer.SetPort{Link: p.index("p"), Port: configurer.Port{Locked: true}}
	}},
	{"a port's MAC", "", func(p place) configurer.Change {
		return configurer.AddPortMAC{Link: p.index("p"), MAC: mac("6e:73:0a:0a:0a:02")}
	}},
}

func pairOf(p place, bridge string, mtu int) configurer.Change {
	return configurer.AddPair{
		Name: "veth0", MAC: mac("fe:73:0a:0a:0a:02"), Master: p.index(bridge), MTU: mtu, Group: 7238503,
		Peer: "eth0", PeerMAC: mac("6e:73:0a:0a:0a:02"), PeerNamespace: p.namespace, Index: new(int), CanLock: new(bool),
	}
}

func alias(text string) func(place) configurer.Change {
	return func(p place) configurer.Change { return configurer.SetAlias{Link: p.index("brg0"), Alias: text} }
}

func altname(name string) func(place) configurer.Change {
	return func(p place) configurer.Change { return configurer.AddAltname{Link: p.index("p"), Name: name} }
}

func address(text string) func(place) configurer.Change {
	return func(p place) configurer.Change {
		return configurer.AddAddress{Link: p.index("brg0"), Address: prefix(text)}
	}
}
