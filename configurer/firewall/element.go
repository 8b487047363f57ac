package firewall

import (
	"net"
	"net/netip"

	"github.com/netsetgo/netsetgo"
)

// Uplink is the element of a link whose forwarding netsetgo switched on.
func Uplink(index int, ipv6 bool) Element {
	family := Family4
	if ipv6 {
		family = Family6
	}
	return Element{uplinks, []Value{family, Index(index)}, nil}
}

// Exempt is the element that says of an uplink that a host which is a router had made an
// exception of it.
func Exempt(index int) Element { return Element{exempt, []Value{Index(index)}, nil} }

// Carrier is the element of a bridge of others: what passes from port to port of it isn't
// routed, though the host's firewall may see it (br_netfilter).
func Carrier(index int) Element {
	return Element{carriers, []Value{Index(index), Index(index)}, nil}
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

// Bridges is the set of the names of all bridges that rules hold for.
func Bridges() Set { return bridges }

// Bridge is the name of the bridge in an element of Bridges.
func (e Element) Bridge() string {
	name, _ := e.Key[0].(LinkName)
	return string(name)
}

// LinkSets are the sets of links by their indices, which no other link ever has.
func LinkSets() []Set { return []Set{unchecked, locked, ownMACs, carriers, uplinks, exempt} }

// OpenedSets are the sets that say what netsetgo let the host forward.
func OpenedSets() []Set { return []Set{uplinks, routers} }

// LinkIndex is the link's in an element of a LinkSet; 0 in others.
func (e Element) LinkIndex() int {
	for _, value := range e.Key {
		if index, ok := value.(Index); ok {
			return int(index)
		}
	}
	return 0
}

// SenderSets are the sets of who may send what.
func SenderSets() []Set { return []Set{senders4, senders6, targets6} }

// Sender is the MAC in an element of a SenderSet; nil of others.
func (e Element) Sender() net.HardwareAddr {
	mac, _ := e.Key[0].(MAC)
	return net.HardwareAddr(mac)
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
	return e.HostPort() == other.HostPort()
}

// HostPort is the port of the host that an element of a published port is of, with its
// family; "" of others.
func (e Element) HostPort() string {
	if e.Data == nil {
		return ""
	}
	family := Family6
	if addr, _ := e.ContainerAddress(); addr.Is4() {
		family = Family4
	}
	return family.Name + " " + values(e.Key[len(e.Key)-2:])
}
