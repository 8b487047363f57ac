package kernel

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
)

// attrType takes the flags off an attribute's type (linux/netlink.h).
const attrType = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)

// operUp is IF_OPER_UP, linux/if.h.
const operUp = 6

// defaultMetric6 stands where no metric was given (IP6_RT_PRIO_USER,
// linux/ipv6_route.h).
const defaultMetric6 = 1024

// errShort is of an answer that ends before its header does.
var errShort = fmt.Errorf("reading the kernel's answer: %w", io.ErrUnexpectedEOF)

// anyFamily is struct rtgenmsg (linux/rtnetlink.h): the family, and padding.
type anyFamily struct{}

func (anyFamily) Len() int          { return unix.NLMSG_ALIGNTO }
func (anyFamily) Serialize() []byte { return make([]byte, unix.NLMSG_ALIGNTO) }

// parseAttributes are attributes in their order, by their types. It makes no list of them: a
// link has about sixty, and links are read all the time.
func parseAttributes(data []byte) (iter.Seq2[uint16, []byte], error) {
	for rest := data; len(rest) >= unix.SizeofRtAttr; {
		var ok bool
		if _, _, rest, ok = nextAttribute(rest); !ok {
			return nil, unix.EINVAL
		}
	}
	return func(yield func(uint16, []byte) bool) {
		for rest := data; len(rest) >= unix.SizeofRtAttr; {
			var kind uint16
			var value []byte
			kind, value, rest, _ = nextAttribute(rest)
			if !yield(kind, value) {
				return
			}
		}
	}, nil
}

// nextAttribute takes the first attribute off, where it is whole.
func nextAttribute(data []byte) (kind uint16, value, rest []byte, ok bool) {
	length := int(binary.NativeEndian.Uint16(data))
	if length < unix.SizeofRtAttr || length > len(data) {
		return 0, nil, nil, false
	}
	return binary.NativeEndian.Uint16(data[2:]) & attrType, data[unix.SizeofRtAttr:length], data[min(len(data), aligned(length)):], true
}

// aligned is where what follows something of a length begins (RTA_ALIGN, linux/rtnetlink.h;
// NLMSG_ALIGN, linux/netlink.h, is the same).
func aligned(length int) int { return (length + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1) }

func parseLink(message []byte) (configurer.Link, error) {
	if len(message) < unix.SizeofIfInfomsg {
		return configurer.Link{}, errShort
	}
	attrs, err := parseAttributes(message[unix.SizeofIfInfomsg:])
	if err != nil {
		return configurer.Link{}, fmt.Errorf("reading a link: %w", err)
	}
	header := nl.DeserializeIfInfomsg(message)
	link := configurer.Link{
		Index:         int(header.Index),
		Up:            header.Flags&unix.IFF_UP != 0,
		PeerNamespace: configurer.SameNamespace,
	}
	for kind, value := range attrs {
		switch kind {
		case unix.IFLA_IFNAME:
			link.Name = unix.ByteSliceToString(value)
		case unix.IFLA_OPERSTATE:
			link.Running = len(value) > 0 && value[0] == operUp
		case unix.IFLA_MTU:
			link.MTU = int(number(value))
		case unix.IFLA_ADDRESS:
			link.MAC = value
		case unix.IFLA_MASTER:
			link.Master = int(number(value))
		case unix.IFLA_GROUP:
			link.Group = number(value)
		case unix.IFLA_IFALIAS:
			link.Alias = unix.ByteSliceToString(value)
		case unix.IFLA_LINK:
			link.Peer = int(number(value))
		case unix.IFLA_LINK_NETNSID:
			link.PeerNamespace = int(int32(number(value)))
		case unix.IFLA_PROP_LIST:
			link.Altnames = texts(value, unix.IFLA_ALT_IFNAME)
		case unix.IFLA_LINKINFO:
			parseInfo(&link, value)
		case unix.IFLA_AF_SPEC:
			link.Settings = parseSettings(value)
		}
	}
	return link, nil
}

// parseInfo reads of what kind a link is, and as what port.
func parseInfo(link *configurer.Link, info []byte) {
	link.Kind = unix.ByteSliceToString(find(info, nl.IFLA_INFO_KIND))
	if unix.ByteSliceToString(find(info, nl.IFLA_INFO_SLAVE_KIND)) != "bridge" {
		return
	}
	port := find(info, nl.IFLA_INFO_SLAVE_DATA)
	on := func(attr uint16) bool {
		value := find(port, attr)
		return len(value) > 0 && value[0] != 0
	}
	link.Port = configurer.Port{
		Learning: on(nl.IFLA_BRPORT_LEARNING), Locked: on(portLocked), Isolated: on(nl.IFLA_BRPORT_ISOLATED), Hairpin: on(nl.IFLA_BRPORT_MODE),
		CanLock: find(port, portLocked) != nil,
	}
}

// find returns the first attribute of a type in a nest, or nil.
func find(nest []byte, kind uint16) []byte {
	for len(nest) >= unix.SizeofRtAttr {
		is, value, rest, ok := nextAttribute(nest)
		if !ok {
			return nil
		}
		if is == kind {
			return value
		}
		nest = rest
	}
	return nil
}

// Where a sysctl is among those of a link: IPV4_DEVCONF_*, linux/ip.h, counts from 1, and
// DEVCONF_*, linux/ipv6.h, from 0.
const (
	confForwarding      = 0      // IPV4_DEVCONF_FORWARDING
	confRouteLocalnet   = 26 - 1 // IPV4_DEVCONF_ROUTE_LOCALNET
	confForwarding6     = 0      // DEVCONF_FORWARDING
	confAcceptRA        = 3      // DEVCONF_ACCEPT_RA
	confForceForwarding = 59     // DEVCONF_FORCE_FORWARDING
)

// parseSettings reads the sysctls that come with a link: lists of 32-bit numbers
// (inet_fill_link_af, net/ipv4/devinet.c; inet6_fill_ifla6_attrs, net/ipv6/addrconf.c).
func parseSettings(families []byte) configurer.Settings {
	values := find(find(families, unix.AF_INET), inetConf)
	values6 := find(find(families, unix.AF_INET6), inet6Conf)
	return configurer.Settings{
		Forwarding:      value(values, confForwarding) != 0,
		RouteLocalnet:   value(values, confRouteLocalnet) != 0,
		HasIPv6:         len(values6) > 0,
		HasForce:        len(values6) > 4*confForceForwarding,
		Forwarding6:     value(values6, confForwarding6) != 0,
		ForceForwarding: value(values6, confForceForwarding) != 0,
		AcceptRA:        int(value(values6, confAcceptRA)),
	}
}

// value is one of a list; 0 beyond its end.
func value(list []byte, index int) int32 {
	return int32(number(list[min(len(list), 4*index):]))
}

// The attributes that hold those lists (linux/if_link.h).
const (
	inetConf  = 1 // IFLA_INET_CONF
	inet6Conf = 2 // IFLA_INET6_CONF
)

// texts returns the attributes of one type in a nest, as text.
func texts(nest []byte, kind uint16) []string {
	attrs, err := parseAttributes(nest)
	if err != nil {
		return nil
	}
	var found []string
	for is, value := range attrs {
		if is == kind {
			found = append(found, unix.ByteSliceToString(value))
		}
	}
	return found
}

func parseRoute(message []byte) (configurer.Route, error) {
	if len(message) < unix.SizeofRtMsg {
		return configurer.Route{}, errShort
	}
	attrs, err := parseAttributes(message[unix.SizeofRtMsg:])
	if err != nil {
		return configurer.Route{}, fmt.Errorf("reading a route: %w", err)
	}
	destination := netip.IPv4Unspecified()
	if message[0] == unix.AF_INET6 {
		destination = netip.IPv6Unspecified()
	}
	route := configurer.Route{Route: netsetgo.Route{}}
	for kind, value := range attrs {
		switch kind {
		case unix.RTA_DST:
			destination, _ = netip.AddrFromSlice(value)
		case unix.RTA_GATEWAY:
			route.Gateway, _ = netip.AddrFromSlice(value)
		case unix.RTA_PRIORITY:
			route.Metric = int(number(value))
		case unix.RTA_OIF:
			route.Link = int(number(value))
		case unix.RTA_MULTIPATH:
			// The first of several ways: struct rtnexthop, linux/rtnetlink.h.
			if len(value) >= unix.SizeofRtNexthop {
				route.Link = int(number(value[4:]))
			}
		}
	}
	route.Destination = netip.PrefixFrom(destination, int(message[1]))
	if !route.Destination.IsValid() {
		return route, errShort
	}
	if destination.Is6() && route.Metric == defaultMetric6 {
		route.Metric = 0 // as it was asked for
	}
	return route, nil
}

// number reads a 32-bit attribute; what is shorter is 0.
func number(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}
