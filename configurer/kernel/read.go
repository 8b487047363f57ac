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

const extMaskSkipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h

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

// askLink asks for one link, without statistics: those of IPv6 cost the most of an answer.
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

// Counters implements configurer.Reader.
func (c *conn) Counters() (map[int]configurer.Counters, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETSTATS, unix.NLM_F_DUMP)
	// struct if_stats_msg, linux/if_link.h: the last number says which statistics.
	request.AddRawData(binary.NativeEndian.AppendUint32(make([]byte, 8), 1<<(unix.IFLA_STATS_LINK_64-1)))
	messages, err := c.ask(request)
	if err != nil {
		return nil, err
	}
	counters := make(map[int]configurer.Counters, len(messages))
	for _, message := range messages {
		const header = 12
		if len(message) < header {
			return nil, errShort
		}
		attrs, err := parseAttributes(message[header:])
		if err != nil {
			return nil, fmt.Errorf("reading statistics: %w", err)
		}
		for kind, value := range attrs {
			// struct rtnl_link_stats64, linux/if_link.h: packets, then bytes.
			if kind == unix.IFLA_STATS_LINK_64 && len(value) >= 32 {
				counters[int(binary.NativeEndian.Uint32(message[4:]))] = configurer.Counters{
					Received: binary.NativeEndian.Uint64(value[16:]), Sent: binary.NativeEndian.Uint64(value[24:]),
				}
			}
		}
	}
	return counters, nil
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
		for kind, value := range attrs {
			if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS && !addr.IsValid() {
				addr, _ = netip.AddrFromSlice(value)
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
	for kind, value := range attrs {
		if id := int(int32(number(value))); kind == unix.NETNSA_NSID && id != configurer.NoNamespace {
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
			// With VLANs it is there once for all, and once for that of packets without one.
			if !slices.ContainsFunc(macs, func(other net.HardwareAddr) bool { return slices.Equal(other, mac) }) {
				macs = append(macs, mac)
			}
		}
	}
	return macs, nil
}
