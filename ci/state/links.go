package state

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// What is made of an attribute. Those in no table are told by number, and in hex.
const (
	asHex    = iota
	asText   // a string
	asNumber // of one, two or four bytes
	asIndex  // of a link, told by the link's name
	asNest   // of attributes
	asList   // of attributes that may be there again and again
	asNothing
)

// attribute is one of netlink's: how it is called here, and what is made of it.
type attribute struct {
	name string
	as   int
	in   map[uint16]attribute
	// untold are bits of a number that don't matter.
	untold uint32
}

func nothing(name string) attribute { return attribute{name: name, as: asNothing} }

// Of struct net_device (IFLA_*, linux/if_link.h).
var linkAttributes = map[uint16]attribute{
	unix.IFLA_IFNAME:      {name: "name", as: asText},
	unix.IFLA_IFALIAS:     {name: "alias", as: asText},
	unix.IFLA_MTU:         {name: "mtu", as: asNumber},
	unix.IFLA_LINK:        {name: "link", as: asIndex},
	unix.IFLA_MASTER:      {name: "master", as: asIndex},
	unix.IFLA_GROUP:       {name: "group", as: asNumber},
	unix.IFLA_TXQLEN:      {name: "txqlen", as: asNumber},
	unix.IFLA_OPERSTATE:   {name: "operstate", as: asNumber},
	unix.IFLA_ADDRESS:     {name: "address"},
	unix.IFLA_CARRIER:     {name: "carrier", as: asNumber},
	unix.IFLA_PROP_LIST:   {name: "", as: asList, in: map[uint16]attribute{unix.IFLA_ALT_IFNAME: {name: "altname", as: asText}}},
	unix.IFLA_LINKINFO:    {name: "info", as: asNest, in: infoAttributes},
	unix.IFLA_PROTINFO:    {name: "port", as: asNest, in: portAttributes},
	unix.IFLA_AF_SPEC:     {name: "family", as: asNest, in: familyAttributes},
	unix.IFLA_PROMISCUITY: {name: "promiscuity", as: asNumber},
	// Counters, and a number by which one namespace knows another; the kernel never takes
	// that back (alloc_netid, net/core/net_namespace.c).
	unix.IFLA_STATS: nothing("stats"), unix.IFLA_STATS64: nothing("stats64"),
	unix.IFLA_CARRIER_CHANGES: nothing("changes"), unix.IFLA_CARRIER_UP_COUNT: nothing("ups"), unix.IFLA_CARRIER_DOWN_COUNT: nothing("downs"),
	unix.IFLA_LINK_NETNSID: nothing("netnsid"),
	// A link that was up once keeps its queueing discipline when it is down again:
	// noqueue in the place of noop.
	unix.IFLA_QDISC: nothing("qdisc"),
}

var infoAttributes = map[uint16]attribute{
	nl.IFLA_INFO_KIND:       {name: "kind", as: asText},
	nl.IFLA_INFO_DATA:       {name: "data", as: asNest, in: bridgeAttributes},
	nl.IFLA_INFO_XSTATS:     nothing("xstats"),
	nl.IFLA_INFO_SLAVE_KIND: {name: "slave", as: asText},
	nl.IFLA_INFO_SLAVE_DATA: {name: "port", as: asNest, in: portAttributes},
}

// Timers of a bridge. No other kind of link is made here that has data of its own under the
// same numbers.
var bridgeAttributes = map[uint16]attribute{
	nl.IFLA_BR_HELLO_TIMER: nothing("hello"), nl.IFLA_BR_TCN_TIMER: nothing("tcn"),
	nl.IFLA_BR_TOPOLOGY_CHANGE_TIMER: nothing("topology"), nl.IFLA_BR_GC_TIMER: nothing("gc"),
	nl.IFLA_BR_GROUP_FWD_MASK: {name: "group_fwd_mask"},
}

var portAttributes = map[uint16]attribute{
	nl.IFLA_BRPORT_MESSAGE_AGE_TIMER:   nothing("age"),
	nl.IFLA_BRPORT_FORWARD_DELAY_TIMER: nothing("delay"),
	nl.IFLA_BRPORT_HOLD_TIMER:          nothing("hold"),
	// How many groups the bridge heard somebody behind the port join
	// (IFLA_BRPORT_MCAST_N_GROUPS, linux/if_link.h).
	41:                      nothing("groups"),
	nl.IFLA_BRPORT_STATE:    {name: "state", as: asNumber},
	nl.IFLA_BRPORT_LEARNING: {name: "learning", as: asNumber},
	nl.IFLA_BRPORT_ISOLATED: {name: "isolated", as: asNumber},
	nl.IFLA_BRPORT_MODE:     {name: "hairpin", as: asNumber},
}

var familyAttributes = map[uint16]attribute{
	unix.AF_INET: {name: "inet"},
	unix.AF_INET6: {name: "inet6", as: asNest, in: map[uint16]attribute{
		unix.IFLA_INET6_FLAGS:         {name: "flags", as: asNumber, untold: askedRouters},
		unix.IFLA_INET6_CONF:          {name: "conf"},
		unix.IFLA_INET6_STATS:         nothing("stats"),
		unix.IFLA_INET6_ICMP6STATS:    nothing("icmp6stats"),
		unix.IFLA_INET6_CACHEINFO:     nothing("cacheinfo"), // when it changed last
		unix.IFLA_INET6_ADDR_GEN_MODE: {name: "addrgenmode", as: asNumber},
	}},
}

// askedRouters are IF_RS_SENT and IF_RA_RCVD (net/if_inet6.h): whether the kernel has asked for
// routers yet, which it does some time after a link came up.
const askedRouters = 0x30

// links are the names by which links are told that others know by their index.
type links map[uint32]string

func (l links) name(index uint32) string {
	if name, ok := l[index]; ok {
		return name
	}
	return "none"
}

// readLinks reads links, and what bridges know of their ports and VLANs.
func readLinks(state State) error {
	messages, err := dump(unix.RTM_GETLINK, nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize())
	if err != nil {
		return fmt.Errorf("reading links: %w", err)
	}
	names := linkNames(messages)
	for _, message := range messages {
		state.addLink("link ", message, names)
	}
	withVLANs := append(nl.NewIfInfomsg(unix.AF_BRIDGE).Serialize(),
		nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(nl.RTEXT_FILTER_BRVLAN)).Serialize()...)
	if messages, err = dump(unix.RTM_GETLINK, withVLANs); err != nil {
		return fmt.Errorf("reading ports of bridges: %w", err)
	}
	for _, message := range messages {
		state.addLink("bridge link ", message, names)
	}
	return nil
}

func linkNames(messages [][]byte) links {
	names := links{}
	for _, message := range messages {
		info := nl.DeserializeIfInfomsg(message)
		for _, attr := range parse(message[unix.SizeofIfInfomsg:]) {
			if attr.Attr.Type == unix.IFLA_IFNAME {
				names[uint32(info.Index)] = unix.ByteSliceToString(attr.Value)
			}
		}
	}
	return names
}

func (s State) addLink(prefix string, message []byte, names links) {
	info := nl.DeserializeIfInfomsg(message)
	subject := prefix + names.name(uint32(info.Index))
	s[subject+" type"] = strconv.Itoa(int(info.Type))
	s[subject+" flags"] = fmt.Sprintf("%#x", info.Flags)
	table := linkAttributes
	if info.Family == unix.AF_BRIDGE {
		// The same numbers, but that of families is that of VLANs, and a peer's index is told
		// without saying that it is another namespace's.
		table = maps.Clone(linkAttributes)
		table[unix.IFLA_AF_SPEC] = attribute{name: "vlans"}
		table[unix.IFLA_LINK] = nothing("link")
	}
	attrs := message[unix.SizeofIfInfomsg:]
	s.add(subject, attrs, table, names)
	for _, attr := range parse(attrs) {
		if attr.Attr.Type == unix.IFLA_LINK_NETNSID {
			s[subject+" link"] = "in another namespace" // where its index is another's
		}
	}
}

// add adds a fact for each attribute.
func (s State) add(subject string, message []byte, table map[uint16]attribute, names links) {
	for _, attr := range parse(message) {
		number := attr.Attr.Type &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		known, ok := table[number]
		if !ok || known.name == "" && known.as != asList {
			known.name = "attribute " + strconv.Itoa(int(number))
		}
		switch known.as {
		case asNothing:
		case asNest:
			s.add(subject+" "+known.name, attr.Value, known.in, names)
		case asList:
			for _, one := range parse(attr.Value) {
				s[subject+" "+known.in[one.Attr.Type].name+" "+unix.ByteSliceToString(one.Value)] = ""
			}
		default:
			s[subject+" "+known.name] = known.value(attr.Value, names)
		}
	}
}

func (a attribute) value(raw []byte, names links) string {
	switch {
	case a.as == asText:
		return unix.ByteSliceToString(raw)
	case a.as == asIndex && len(raw) == 4:
		return names.name(nl.NativeEndian().Uint32(raw))
	case a.as == asNumber && len(raw) == 1:
		return strconv.Itoa(int(raw[0]))
	case a.as == asNumber && len(raw) == 4:
		return strconv.FormatUint(uint64(nl.NativeEndian().Uint32(raw)&^a.untold), 10)
	case len(raw) > 16 && len(bytes.Trim(raw, "\x00")) == 0:
		return fmt.Sprintf("%d times 00", len(raw))
	}
	return hex.EncodeToString(raw)
}

// parse returns the attributes in a message: as many as can be read.
func parse(message []byte) []syscall.NetlinkRouteAttr {
	attrs, err := nl.ParseRouteAttr(message)
	if err != nil {
		return nil
	}
	return attrs
}
