package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/configurer"
)

// Names of the kernel's that golang.org/x/sys doesn't have.
const (
	extMaskSkipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h
	flagFIBMatch     = 0x2000 // RTM_F_FIB_MATCH, linux/rtnetlink.h
)

// Link implements configurer.Reader.
func (c *conn) Link(which configurer.Which) (configurer.Link, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(which.Index)
	request.AddData(header)
	if which.Index == 0 {
		// Finds first names as well (__dev_get_by_name, net/core/dev.c).
		request.AddData(nl.NewRtAttr(unix.IFLA_ALT_IFNAME, nl.ZeroTerminated(which.Name)))
	}
	return c.askLink(request)
}

// Peer implements configurer.Reader.
func (c *conn) Peer(link configurer.Link) (configurer.Link, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(link.Peer)
	request.AddData(header)
	if link.PeerNamespace != configurer.SameNamespace {
		request.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(link.PeerNamespace))))
	}
	peer, err := c.askLink(request)
	// No namespace has that number any more (rtnl_get_net_ns_capable, net/core/rtnetlink.c).
	if errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w: %w", configurer.ErrNotFound, err)
	}
	return peer, err
}

// askLink asks for one link. Statistics are part of every answer; those of IPv6,
// which cost the most, are left out.
func (c *conn) askLink(request *nl.NetlinkRequest) (configurer.Link, error) {
	request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extMaskSkipStats)))
	message, err := c.askOne(request)
	if err != nil {
		return configurer.Link{}, err
	}
	return parseLink(message)
}

// Links implements configurer.Reader.
func (c *conn) Links(kind string) ([]configurer.Link, error) {
	filter := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	filter.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	links, err := c.links(filter)
	// A kind that the kernel doesn't know, or not yet, filters nothing.
	return slices.DeleteFunc(links, func(link configurer.Link) bool { return link.Kind != kind }), err
}

// Ports implements configurer.Reader.
func (c *conn) Ports(bridge int) ([]configurer.Link, error) {
	return c.links(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(bridge))))
}

// links dumps the links that a filter lets through.
func (c *conn) links(filter *nl.RtAttr) ([]configurer.Link, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(filter)
	request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extMaskSkipStats)))
	messages, err := c.ask(request)
	if err != nil {
		return nil, err
	}
	links := make([]configurer.Link, 0, len(messages))
	for _, message := range messages {
		link, err := parseLink(message)
		if err != nil {
			return nil, err
		}
		links = append(links, link)
	}
	return links, nil
}

// Addresses implements configurer.Reader.
func (c *conn) Addresses(link int) ([]netip.Prefix, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	header := nl.NewIfAddrmsg(unix.AF_UNSPEC)
	header.Index = uint32(link)
	request.AddData(header)
	messages, err := c.ask(request)
	if err != nil {
		return nil, err
	}
	var addresses []netip.Prefix
	for _, message := range messages {
		if len(message) < unix.SizeofIfAddrmsg {
			return nil, errShort
		}
		if message[0] != unix.AF_INET && message[0] != unix.AF_INET6 {
			continue // others have addresses, too, such as Phonet
		}
		attrs, err := parseAttributes(message[unix.SizeofIfAddrmsg:])
		if err != nil {
			return nil, fmt.Errorf("reading an address: %w", err)
		}
		// IPv6 has one of the two only, unless it has a peer (inet6_fill_ifaddr,
		// net/ipv6/addrconf.c).
		var addr netip.Addr
		for _, attr := range attrs {
			if attr.Attr.Type == unix.IFA_LOCAL || attr.Attr.Type == unix.IFA_ADDRESS && !addr.IsValid() {
				addr, _ = netip.AddrFromSlice(attr.Value)
			}
		}
		prefix := netip.PrefixFrom(addr, int(message[1]))
		if !prefix.IsValid() {
			return nil, errShort
		}
		if addr.Is4() || !addr.IsLinkLocalUnicast() {
			addresses = append(addresses, prefix)
		}
	}
	return addresses, nil
}

// Routes implements configurer.Reader.
func (c *conn) Routes() ([]configurer.Route, error) {
	routes, err := c.routes(unix.AF_INET)
	if err != nil {
		return nil, err
	}
	routes6, err := c.routes(unix.AF_INET6)
	return append(routes, routes6...), err
}

func (c *conn) routes(family uint8) ([]configurer.Route, error) {
	messages, err := c.routeMessages(family)
	if err != nil {
		return nil, err
	}
	routes := make([]configurer.Route, 0, len(messages))
	for _, message := range messages {
		route, err := parseRoute(message)
		if err != nil {
			return nil, err
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func (c *conn) routeMessages(family uint8) ([][]byte, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	request.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Table: unix.RT_TABLE_MAIN}})
	messages, err := c.ask(request)
	if errors.Is(err, configurer.ErrNotFound) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // no table yet, as no route was ever made here; or no such family
	}
	return messages, err
}

// nobody are addresses of blocks that nobody has any of, so that their routes are the
// default routes: 240.0.0.0/4 (RFC 1112 section 4), and what IPv6 keeps for examples
// (3fff::/20, RFC 9637). Asking sends no packet.
var nobody = map[uint8]netip.Addr{
	unix.AF_INET:  netip.AddrFrom4([4]byte{240, 0, 0, 1}),
	unix.AF_INET6: netip.AddrFrom16([16]byte{0x3f, 0xff, 15: 1}),
}

// Uplinks implements configurer.Reader: the links that packets to nobody would leave by,
// which rules may choose from any table, and those of the main table's default routes.
func (c *conn) Uplinks() ([]configurer.Uplink, error) {
	var uplinks []configurer.Uplink
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		messages, err := c.routeMessages(family)
		if err != nil {
			return nil, err
		}
		// Where somebody sends those addresses nowhere, rules are not followed.
		first, err := c.routeTo(nobody[family], flagFIBMatch)
		if err == nil {
			messages = append([][]byte{first}, messages...)
		} else if !errors.Is(err, configurer.ErrNotFound) {
			return nil, err
		}
		for _, message := range messages {
			route, err := parseRoute(message)
			if err != nil {
				return nil, err
			}
			if message[7] != unix.RTN_UNICAST { // rtm_type: unreachable and the like
				continue
			}
			if !isDefault(route.Destination) {
				continue
			}
			links := waysOf(message, route)
			if slices.Max(links) == 0 {
				// By a nexthop object, of a host that doesn't tell its links beside it
				// (sysctl nexthop_compat_mode): then only the one in use is found.
				if links, err = c.linkTo(nobody[family]); err != nil {
					return nil, err
				}
			}
			for _, link := range links {
				uplink := configurer.Uplink{Link: link, IPv6: family == unix.AF_INET6}
				if link != 0 && !slices.Contains(uplinks, uplink) {
					uplinks = append(uplinks, uplink)
				}
			}
		}
	}
	return uplinks, nil
}

// linkTo is the link that packets to an address leave by; none where there is none.
func (c *conn) linkTo(addr netip.Addr) ([]int, error) {
	message, err := c.routeTo(addr, 0)
	if errors.Is(err, configurer.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	route, err := parseRoute(message)
	return []int{route.Link}, err
}

// waysOf are the links of a route, of which it may have several: struct rtnexthop,
// linux/rtnetlink.h.
func waysOf(message []byte, route configurer.Route) []int {
	links := []int{route.Link}
	ways := find(message[unix.SizeofRtMsg:], unix.RTA_MULTIPATH)
	for len(ways) >= unix.SizeofRtNexthop {
		length := int(binary.NativeEndian.Uint16(ways))
		if length < unix.SizeofRtNexthop {
			break
		}
		links = append(links, int(number(ways[4:])))
		ways = ways[min(len(ways), aligned(length)):]
	}
	return links
}

// isDefault counts half of all addresses as well, as VPNs write it; and all of what IPv6
// has given out (2000::/3).
func isDefault(destination netip.Prefix) bool {
	return destination.Bits() <= 1 || destination.Addr().Is6() && destination.Bits() <= 3
}

// RouteTo implements configurer.Reader.
func (c *conn) RouteTo(addr netip.Addr) (configurer.Route, error) {
	message, err := c.routeTo(addr, flagFIBMatch)
	if err != nil {
		return configurer.Route{}, err
	}
	route, err := parseRoute(message)
	if err == nil && route.Link == 0 {
		err = configurer.ErrNotFound
	}
	return route, err
}

// routeTo asks for the route to an address, or without flagFIBMatch, for that of a packet to it.
func (c *conn) routeTo(addr netip.Addr, flags uint32) ([]byte, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	request.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(familyOf(addr)), Dst_len: uint8(addr.BitLen()), Flags: flags}})
	request.AddData(nl.NewRtAttr(unix.RTA_DST, addr.AsSlice()))
	message, err := c.askOne(request)
	// What a route of type unreachable, blackhole or prohibit answers as well.
	for _, none := range []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EINVAL, unix.EACCES, unix.EOPNOTSUPP} {
		if errors.Is(err, none) {
			return nil, fmt.Errorf("%w: %w", configurer.ErrNotFound, err)
		}
	}
	return message, err
}

// NamespaceID implements configurer.Reader.
func (c *conn) NamespaceID(namespace *os.File) (int, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNSID, 0)
	request.AddData(anyFamily{})
	request.AddData(nl.NewRtAttr(unix.NETNSA_FD, nl.Uint32Attr(uint32(namespace.Fd()))))
	message, err := c.askOne(request)
	if err != nil {
		return 0, err
	}
	if len(message) < (anyFamily{}).Len() {
		return 0, errShort
	}
	attrs, err := parseAttributes(message[(anyFamily{}).Len():])
	if err != nil {
		return 0, fmt.Errorf("reading a namespace's number: %w", err)
	}
	for _, attr := range attrs {
		if id := int(int32(number(attr.Value))); attr.Attr.Type == unix.NETNSA_NSID && id != configurer.NoNamespace {
			return id, nil
		}
	}
	return 0, configurer.ErrNotFound
}

// NamespaceLives implements configurer.Reader. The kernel hands out no namespace
// whose last user is gone (get_net_ns_by_id, net/core/net_namespace.c).
func (c *conn) NamespaceLives(id int) (bool, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNSID, 0)
	request.AddData(anyFamily{})
	request.AddData(nl.NewRtAttr(unix.NETNSA_NSID, nl.Uint32Attr(uint32(id))))
	_, err := c.askOne(request)
	if errors.Is(err, configurer.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// PortMACs implements configurer.Reader.
func (c *conn) PortMACs(port configurer.Link) ([]net.HardwareAddr, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
	request.AddData(portMAC{link: int32(port.Index)})
	messages, err := c.ask(request)
	if err != nil {
		return nil, err
	}
	var macs []net.HardwareAddr
	for _, message := range messages {
		if len(message) < (portMAC{}).Len() {
			return nil, errShort
		}
		attrs, err := nested(message[(portMAC{}).Len():])
		if err != nil {
			return nil, err
		}
		if state := binary.NativeEndian.Uint16(message[8:]); state&unix.NUD_NOARP != 0 && number(message[4:]) == uint32(port.Index) {
			mac := attrs[unix.NDA_LLADDR]
			if len(mac) != 6 {
				return nil, errShort
			}
			macs = append(macs, mac)
		}
	}
	return macs, nil
}
