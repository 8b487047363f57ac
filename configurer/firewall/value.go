package firewall

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Field is something of a packet, as nft(8) has it.
type Field string

// The fields that netsetgo's rules look at.
const (
	InName       Field = "iifname"
	OutName      Field = "oifname"
	InIndex      Field = "iif"
	OutIndex     Field = "oif"
	InGroup      Field = "iifgroup"
	OutGroup     Field = "oifgroup"
	NFProto      Field = "meta nfproto"
	L4Proto      Field = "meta l4proto"
	EtherType    Field = "meta protocol"
	State        Field = "ct state"
	Status       Field = "ct status"
	ToType       Field = "fib daddr type"
	FromAddress4 Field = "ip saddr"
	ToAddress4   Field = "ip daddr"
	FromAddress6 Field = "ip6 saddr"
	ToAddress6   Field = "ip6 daddr"
	FromPort     Field = "th sport"
	ToPort       Field = "th dport"
	ICMPv6Type   Field = "icmpv6 type"
	FromMAC      Field = "ether saddr"
	ARPAddress   Field = "arp saddr ip"
	ARPMAC       Field = "arp saddr ether"
	FragOffset4  Field = "ip frag-off"
	FragOffset6  Field = "frag frag-off"
	VLANType     Field = "ether type"
	// Transport is the first 8 bytes of what IP carries, which all of UDP's header is,
	// and of ICMPv6's messages the least; a packet has it or matches nothing.
	Transport Field = "@th,0,64"
	// Target is that of a neighbour solicitation or advertisement (RFC 4861 sections
	// 4.3 and 4.4): 16 bytes, 8 behind the beginning of ICMPv6.
	Target Field = "@th,64,128"
)

// Value is something that a field is compared with, or that a set holds.
type Value interface {
	// String is the value as nft(8) has it.
	String() string
	// Bytes is the value as the kernel has it.
	Bytes() []byte
}

// Masked is a Value that is compared with a part of a field only.
type Masked interface {
	Value
	Mask() []byte
}

type (
	// LinkName is the name of a link.
	LinkName string
	// Index is that of a link. It may be one that a dry run made up, below 0.
	Index int32
	// Group is that of links.
	Group uint32
	// Port is one of TCP, UDP or SCTP.
	Port uint16
	// Constant is a number that nft(8) knows by a name, in the order of bytes in which
	// packets or the kernel have it.
	Constant struct {
		Name  string
		Value []byte
	}
	// Bits are flags, one of which is enough.
	Bits struct {
		Name  string
		Value uint32
	}
	// MAC is that of a link.
	MAC net.HardwareAddr
	// Address is of IPv4 or IPv6.
	Address struct{ netip.Addr }
	// Part is a part of a field that is nothing, or isn't.
	Part struct {
		Name string
		Bits []byte
	}
	// Network is of many addresses.
	Network struct{ netip.Prefix }
	// TargetAddress is of IPv6, where a Target is looked for.
	TargetAddress struct{ netip.Addr }
)

// String implements Value.
func (v LinkName) String() string { return strconv.Quote(string(v)) }

// String implements Value.
func (v Index) String() string { return strconv.Itoa(int(v)) }

// String implements Value.
func (v Group) String() string { return strconv.FormatUint(uint64(v), 10) }

// String implements Value.
func (v Port) String() string { return strconv.FormatUint(uint64(v), 10) }

// String implements Value.
func (v Constant) String() string { return v.Name }

// String implements Value.
func (v MAC) String() string { return net.HardwareAddr(v).String() }

// nameSize is IFNAMSIZ, linux/if.h.
const nameSize = 16

// Bytes implements Value.
func (v LinkName) Bytes() []byte { return append([]byte(v), make([]byte, nameSize-len(v))...) }

// Bytes implements Value.
func (v Index) Bytes() []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

// Bytes implements Value.
func (v Group) Bytes() []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

// Bytes implements Value.
func (v Port) Bytes() []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

// Bytes implements Value.
func (v Constant) Bytes() []byte { return v.Value }

// Bytes implements Value.
func (v MAC) Bytes() []byte { return v }

// Bytes implements Value.
func (v Address) Bytes() []byte { return v.AsSlice() }

// Bytes implements Value: those of the network's own address.
func (v Network) Bytes() []byte { return v.Masked().Addr().AsSlice() }

// String implements Value.
func (v Bits) String() string { return v.Name }

// Bytes implements Value: what is left of none of them.
func (v Bits) Bytes() []byte { return make([]byte, 4) }

// Mask implements Masked.
func (v Bits) Mask() []byte { return binary.NativeEndian.AppendUint32(nil, v.Value) }

// Mask implements Masked.
func (v Network) Mask() []byte { return net.CIDRMask(v.Bits(), v.Addr().BitLen()) }

// String implements Value.
func (v TargetAddress) String() string { return "0x" + hex.EncodeToString(v.AsSlice()) }

// Bytes implements Value.
func (v TargetAddress) Bytes() []byte { return v.AsSlice() }

// String implements Value.
func (v Part) String() string { return v.Name }

// Bytes implements Value.
func (v Part) Bytes() []byte { return make([]byte, len(v.Bits)) }

// Mask implements Masked.
func (v Part) Mask() []byte { return v.Bits }

// big is a number as packets have it.
func big(name string, value uint16) Constant {
	return Constant{Name: name, Value: binary.BigEndian.AppendUint16(nil, value)}
}

// The families of what is routed (nfproto, linux/netfilter.h).
var (
	Family4 = Constant{Name: "ipv4", Value: []byte{2}}
	Family6 = Constant{Name: "ipv6", Value: []byte{10}}
)

// Protocols above IP (IANA protocol numbers; linux/in.h), by the names of -publish.
var protocols = map[string]byte{"tcp": 6, "udp": 17, "sctp": 132}

// Protocol is one of them.
func Protocol(name string) Constant {
	return Constant{Name: name, Value: []byte{protocols[name]}}
}

// ValueOf is a value of a type as the kernel has it. What a Constant is called isn't known.
func ValueOf(kind Type, data []byte) Value {
	switch kind {
	case TypeName:
		name, _, _ := strings.Cut(string(data), "\x00")
		return LinkName(name)
	case TypeIndex:
		return Index(binary.NativeEndian.Uint32(data))
	case TypePort:
		return Port(binary.BigEndian.Uint16(data))
	case TypeMAC:
		return MAC(data)
	case TypeAddress4, TypeAddress6, TypeTarget:
		addr, _ := netip.AddrFromSlice(data)
		if kind == TypeTarget {
			return TargetAddress{addr}
		}
		return Address{addr}
	}
	for name, number := range protocols {
		if kind == TypeProtocol && data[0] == number {
			return Constant{Name: name, Value: data}
		}
	}
	for _, family := range []Constant{Family4, Family6} {
		if kind == TypeFamily && data[0] == family.Value[0] {
			return family
		}
	}
	return Constant{Name: hex.EncodeToString(data), Value: data}
}
