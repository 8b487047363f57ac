package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/configurer"
)

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
		first, err := c.routeTo(nobody[family], unix.RTM_F_FIB_MATCH)
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
	message, err := c.routeTo(addr, unix.RTM_F_FIB_MATCH)
	if err != nil {
		return configurer.Route{}, err
	}
	route, err := parseRoute(message)
	if err == nil && route.Link == 0 {
		err = configurer.ErrNotFound
	}
	return route, err
}

// routeTo asks for the route to an address, or without unix.RTM_F_FIB_MATCH, for that of a packet to it.
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
