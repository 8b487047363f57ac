package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Names of the kernel's that golang.org/x/sys doesn't have.
const (
	vethInfoPeer = 1  // VETH_INFO_PEER, linux/veth.h
	genModeNone  = 1  // IN6_ADDR_GEN_MODE_NONE, linux/if_link.h
	portLocked   = 39 // IFLA_BRPORT_LOCKED, linux/if_link.h
)

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

// encode turns a change into its message.
func encode(change configurer.Change) *nl.NetlinkRequest {
	switch change := change.(type) {
	case configurer.AddBridge:
		return encodeBridge(change)
	case configurer.AddPair:
		return encodePair(change)
	case configurer.DeleteLink:
		return linkRequest(unix.RTM_DELLINK, 0, change.Link)
	case configurer.SetUp:
		return encodeUp(change)
	case configurer.SetMTU:
		return setLink(change.Link, nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(change.MTU))))
	case configurer.SetMAC:
		return setLink(change.Link, nl.NewRtAttr(unix.IFLA_ADDRESS, change.MAC))
	case configurer.SetAlias:
		return setLink(change.Link, nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(change.Alias)))
	case configurer.SilenceIPv6:
		families := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
		families.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{genModeNone})
		return setLink(change.Link, families)
	case configurer.AddAltname:
		request := linkRequest(unix.RTM_NEWLINKPROP, create, change.Link)
		names := nl.NewRtAttr(unix.IFLA_PROP_LIST|unix.NLA_F_NESTED, nil)
		names.AddRtAttr(unix.IFLA_ALT_IFNAME, nl.ZeroTerminated(change.Name))
		request.AddData(names)
		return request
	case configurer.AddAddress:
		return encodeAddress(unix.RTM_NEWADDR, create, change.Link, change.Address)
	case configurer.DeleteAddress:
		return encodeAddress(unix.RTM_DELADDR, 0, change.Link, change.Address)
	case configurer.SetPort:
		return encodePort(change)
	case configurer.AddPortMAC:
		return encodePortMAC(change)
	case configurer.AddRoute:
		return encodeRoute(unix.RTM_NEWROUTE, create, change.Route)
	case configurer.DeleteRoute:
		return encodeRoute(unix.RTM_DELROUTE, 0, change.Route)
	}
	// Reached only by a change that was added without its message.
	panic(fmt.Sprintf("kernel: no message for %T", change))
}

// linkRequest begins a message about one link, which the kernel acknowledges.
func linkRequest(kind, flags, index int) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	request.AddData(header)
	return request
}

func setLink(index int, attr *nl.RtAttr) *nl.NetlinkRequest {
	request := linkRequest(unix.RTM_SETLINK, 0, index)
	request.AddData(attr)
	return request
}

func encodeUp(change configurer.SetUp) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index, header.Change = int32(change.Link), unix.IFF_UP
	if change.Up {
		header.Flags = unix.IFF_UP
	}
	request.AddData(header)
	return request
}

func encodeBridge(change configurer.AddBridge) *nl.NetlinkRequest {
	request := linkRequest(unix.RTM_NEWLINK, create|unix.NLM_F_ECHO, 0)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(change.Name)))
	// Without a MAC of its own a bridge takes those of its ports, and ends as zeros.
	request.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, change.MAC))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(change.Group)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	request.AddData(info)
	return request
}

// encodePair makes the pair in place: to move a link between namespaces costs
// 16 ms (rcu_barrier).
func encodePair(change configurer.AddPair) *nl.NetlinkRequest {
	request := linkRequest(unix.RTM_NEWLINK, create|unix.NLM_F_ECHO, 0)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(change.Name)))
	request.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, change.MAC))
	request.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(change.Master))))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(change.Group)))
	mtu := nl.Uint32Attr(uint32(change.MTU))
	request.AddData(nl.NewRtAttr(unix.IFLA_MTU, mtu))
	// One queue each way: by default there is one for each core, which costs 40
	// to 70% more.
	one := nl.Uint32Attr(1)
	request.AddData(nl.NewRtAttr(unix.IFLA_NUM_TX_QUEUES, one))
	request.AddData(nl.NewRtAttr(unix.IFLA_NUM_RX_QUEUES, one))

	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(vethInfoPeer, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(change.Peer))
	peer.AddRtAttr(unix.IFLA_ADDRESS, change.PeerMAC)
	peer.AddRtAttr(unix.IFLA_MTU, mtu)
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(change.PeerNamespace.Fd())))
	peer.AddRtAttr(unix.IFLA_NUM_TX_QUEUES, one)
	peer.AddRtAttr(unix.IFLA_NUM_RX_QUEUES, one)
	request.AddData(info)
	return request
}

// encodePort asks the bridge family, which answers sooner than the others.
func encodePort(change configurer.SetPort) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	header := nl.NewIfInfomsg(unix.AF_BRIDGE)
	header.Index = int32(change.Link)
	request.AddData(header)
	port := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	for _, flag := range []struct {
		attr int
		on   bool
	}{{nl.IFLA_BRPORT_LEARNING, change.Port.Learning}, {portLocked, change.Port.Locked}, {nl.IFLA_BRPORT_ISOLATED, change.Port.Isolated}, {nl.IFLA_BRPORT_MODE, change.Port.Hairpin}} {
		value := []byte{0}
		if flag.on {
			value[0] = 1
		}
		port.AddRtAttr(flag.attr, value)
	}
	// Frames to 01:80:c2:00:00:0x would come in by the port itself and not by the bridge,
	// past all that looks at what comes in by it (br_handle_frame, net/bridge/br_input.c).
	port.AddRtAttr(nl.IFLA_BRPORT_GROUP_FWD_MASK, binary.NativeEndian.AppendUint16(nil, configurer.PortGroups))
	request.AddData(port)
	return request
}

// portMAC is struct ndmsg, linux/neighbour.h: an entry of the bridge that doesn't age;
// where one is asked for, of any kind.
type portMAC struct {
	link  int32
	state uint16
	flags byte
}

func (portMAC) Len() int { return 12 }

func (m portMAC) Serialize() []byte {
	header := []byte{unix.AF_BRIDGE, 0, 0, 0}
	header = binary.NativeEndian.AppendUint32(header, uint32(m.link))
	header = binary.NativeEndian.AppendUint16(header, m.state)
	return append(header, m.flags, 0)
}

func encodePortMAC(change configurer.AddPortMAC) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	request.AddData(portMAC{int32(change.Link), unix.NUD_NOARP, unix.NTF_MASTER})
	request.AddData(nl.NewRtAttr(unix.NDA_LLADDR, change.MAC))
	return request
}

func encodeAddress(kind, flags, link int, address netip.Prefix) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	header := nl.NewIfAddrmsg(familyOf(address.Addr()))
	header.Index, header.Prefixlen = uint32(link), uint8(address.Bits())
	if address.Addr().IsLoopback() {
		header.Scope = unix.RT_SCOPE_HOST
	}
	// What is leased is nobody else's: there is no duplicate to wait for.
	if address.Addr().Is6() {
		header.Flags = unix.IFA_F_NODAD
	}
	request.AddData(header)
	ip := address.Addr().AsSlice()
	request.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	request.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	if kind == unix.RTM_NEWADDR && address.Addr().Is4() {
		request.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, netsetgo.Broadcast(address).AsSlice()))
	}
	return request
}

func familyOf(addr netip.Addr) int {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func encodeRoute(kind, flags int, route configurer.Route) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	header := &nl.RtMsg{RtMsg: unix.RtMsg{
		Family:   uint8(familyOf(route.Destination.Addr())),
		Dst_len:  uint8(route.Destination.Bits()),
		Table:    unix.RT_TABLE_MAIN,
		Protocol: unix.RTPROT_STATIC,
		Scope:    unix.RT_SCOPE_UNIVERSE,
		Type:     unix.RTN_UNICAST,
	}}
	request.AddData(header)
	request.AddData(nl.NewRtAttr(unix.RTA_DST, route.Destination.Addr().AsSlice()))
	request.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, route.Gateway.AsSlice()))
	request.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(route.Link))))
	if route.Metric != 0 {
		request.AddData(nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(uint32(route.Metric))))
	}
	return request
}
