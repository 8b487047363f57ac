package testnet

import (
	"encoding/binary"
	"hash/crc32"
	"net"
	"net/netip"
)

// Numbers of protocols (linux/if_ether.h, linux/in.h, linux/in6.h).
const (
	EtherIPv4  = 0x0800
	EtherARP   = 0x0806
	EtherVLAN  = 0x8100
	EtherIPv6  = 0x86dd
	EtherVLANs = 0x88a8

	ICMP     = 1
	TCP      = 6
	UDP      = 17
	Fragment = 44
	ICMPv6   = 58
	SCTP     = 132
)

// Packet is what was received, as far as it can be read.
type Packet struct {
	Frame            []byte
	From, To         netip.Addr
	Protocol         byte
	FromPort, ToPort uint16
	Type             byte // of ICMP
	OpensTCP         bool
}

// ReadPacket reads a frame.
func ReadPacket(frame []byte) Packet {
	p := Packet{Frame: frame}
	if len(frame) < 14 {
		return p
	}
	rest := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case EtherIPv4:
		if len(rest) < 20 {
			return p
		}
		p.From, p.To = netip.AddrFrom4([4]byte(rest[12:])), netip.AddrFrom4([4]byte(rest[16:]))
		p.Protocol = rest[9]
		rest = rest[min(len(rest), int(rest[0]&0xf)*4):]
	case EtherIPv6:
		if len(rest) < 40 {
			return p
		}
		p.From, p.To = netip.AddrFrom16([16]byte(rest[8:])), netip.AddrFrom16([16]byte(rest[24:]))
		p.Protocol = rest[6]
		rest = rest[40:]
	default:
		return p
	}
	switch {
	case len(rest) < 8:
	case p.Protocol == ICMP || p.Protocol == ICMPv6:
		p.Type = rest[0]
	case p.Protocol == TCP || p.Protocol == UDP || p.Protocol == SCTP:
		p.FromPort, p.ToPort = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		const syn, ack = 2, 16 // RFC 9293 section 3.1
		p.OpensTCP = p.Protocol == TCP && len(rest) >= 14 && rest[13]&(syn|ack) == syn
	}
	return p
}

// MAC reads one that a spec has written down.
func MAC(text string) net.HardwareAddr {
	mac, err := net.ParseMAC(text)
	if err != nil {
		panic(err) // the spec's own text is wrong
	}
	return mac
}

func address(text string) []byte { return netip.MustParseAddr(text).AsSlice() }

func words(numbers ...uint16) []byte {
	var b []byte
	for _, number := range numbers {
		b = binary.BigEndian.AppendUint16(b, number)
	}
	return b
}

// Join puts bytes behind each other.
func Join(parts ...[]byte) []byte {
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// Ether is a frame.
func Ether(to, from net.HardwareAddr, kind uint16, payload []byte) []byte {
	return Join(to, from, words(kind), payload)
}

// ARP says that an address has a MAC, and asks for that of another (RFC 826). Of op, 1 asks
// and 2 answers.
func ARP(op uint16, mac net.HardwareAddr, addr, asked string) []byte {
	return Join(words(1, EtherIPv4), []byte{6, 4}, words(op), mac, address(addr), make([]byte, 6), address(asked))
}

// IP is a packet of the family of its addresses. It is complete, with a hop limit that
// neighbour discovery asks for.
func IP(from, to string, protocol byte, payload []byte) []byte {
	source, target := address(from), address(to)
	if len(source) == 4 {
		head := Join([]byte{0x45, 0}, words(uint16(20+len(payload)), 0x1234, 0), []byte{255, protocol}, words(0), source, target)
		binary.BigEndian.PutUint16(head[10:], Checksum(head))
		return append(head, payload...)
	}
	return Join([]byte{0x60, 0, 0, 0}, words(uint16(len(payload))), []byte{protocol, 255}, source, target, payload)
}

// Piece makes a frame of IPv4 a fragment: field is the offset, in eights of bytes, and flags
// (RFC 791 section 3.1).
func Piece(frame []byte, field uint16) []byte {
	head := frame[14:34]
	binary.BigEndian.PutUint16(head[6:], field)
	binary.BigEndian.PutUint16(head[10:], 0)
	binary.BigEndian.PutUint16(head[10:], Checksum(head))
	return frame
}

// Over puts ports before a payload, and what the packets of a family need around them.
func Over(from, to string, fromPort, toPort uint16, payload []byte) []byte {
	datagram := Join(words(fromPort, toPort, uint16(8+len(payload)), 0), payload)
	if len(address(from)) == 4 {
		return datagram // may go without a checksum (RFC 768)
	}
	return checked6(from, to, UDP, datagram, 6)
}

// ICMP6 is a message of ICMPv6 (RFC 4443 section 2.1).
func ICMP6(from, to string, kind byte, body []byte) []byte {
	return checked6(from, to, ICMPv6, Join([]byte{kind, 0, 0, 0}, body), 2)
}

// ICMP4 is a message of ICMP (RFC 792).
func ICMP4(kind byte, body []byte) []byte {
	message := Join([]byte{kind, 0, 0, 0}, body)
	binary.BigEndian.PutUint16(message[2:], Checksum(message))
	return message
}

// Segment is one of TCP without data (RFC 9293 section 3.1).
func Segment(from, to string, ports [2]uint16, flags byte) []byte {
	segment := Join(words(ports[0], ports[1], 0, 1, 0, 1), []byte{0x50, flags}, words(1000, 0, 0))
	if len(address(from)) == 16 {
		return checked6(from, to, TCP, segment, 16)
	}
	pseudo := Join(address(from), address(to), words(TCP, uint16(len(segment))), segment)
	binary.BigEndian.PutUint16(segment[16:], Checksum(pseudo))
	return segment
}

// InitSCTP asks for an association (RFC 9260 sections 3.1 and 3.3.2).
func InitSCTP(fromPort, toPort uint16) []byte {
	packet := Join(words(fromPort, toPort, 0, 0, 0, 0), []byte{1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1})
	sum := crc32.Checksum(packet, crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(packet[8:], sum) // RFC 9260 appendix A
	return packet
}

// checked6 fills in a checksum over what RFC 8200 section 8.1 asks for.
func checked6(from, to string, protocol uint16, payload []byte, at int) []byte {
	pseudo := Join(address(from), address(to), words(0, uint16(len(payload)), 0, protocol), payload)
	binary.BigEndian.PutUint16(payload[at:], Checksum(pseudo))
	return payload
}

// Checksum is that of RFC 1071.
func Checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
