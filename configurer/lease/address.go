package lease

import (
	"encoding/binary"
	"hash/fnv"
	"iter"
	"net"
	"net/netip"

	"github.com/netsetgo/netsetgo"
)

// Candidates yields the addresses to be tried, at most Tries: from next around
// the subnet of gateway, without the gateway and what means more than one device.
func Candidates(gateway netip.Prefix, next netip.Addr) iter.Seq[netip.Addr] {
	first := gateway.Masked().Addr().Next()
	if !usable(gateway, next) || next.Less(first) {
		next = first
	}
	return func(yield func(netip.Addr) bool) {
		addr := next
		for range Tries {
			if addr != gateway.Addr() && !yield(addr) {
				return
			}
			addr = After(gateway, addr)
			if addr == next {
				return
			}
		}
	}
}

// After returns the address that follows in the round: after the subnet's last
// comes its first.
func After(gateway netip.Prefix, addr netip.Addr) netip.Addr {
	if addr = addr.Next(); usable(gateway, addr) {
		return addr
	}
	return gateway.Masked().Addr().Next()
}

// usable leaves out what is beyond the last address of a subnet that a device can have.
func usable(gateway netip.Prefix, addr netip.Addr) bool {
	return gateway.Contains(addr) && (addr.Is6() || addr != netsetgo.Broadcast(gateway))
}

// Pair returns the address that is as far from the beginning of its subnet as another
// from that of its own: 10.10.10.7 and fd10::7. The zero Addr where the subnet ends
// before.
func Pair(gateway, other netip.Prefix, addr netip.Addr) netip.Addr {
	_, distance := words(addr)
	_, begin := words(other.Masked().Addr())
	high, low := words(gateway.Masked().Addr())
	var bytes [16]byte
	binary.BigEndian.PutUint64(bytes[:8], high)
	binary.BigEndian.PutUint64(bytes[8:], low+distance-begin) // an IPv4 subnet has no more than 2^24
	if pair := netip.AddrFrom16(bytes); gateway.Contains(pair) {
		return pair
	}
	return netip.Addr{}
}

// words are the two halves of an address; of IPv4 the first is nothing.
func words(addr netip.Addr) (high, low uint64) {
	if addr.Is4() {
		bytes := addr.As4()
		return 0, uint64(binary.BigEndian.Uint32(bytes[:]))
	}
	bytes := addr.As16()
	return binary.BigEndian.Uint64(bytes[:8]), binary.BigEndian.Uint64(bytes[8:])
}

// The first byte of the MACs that are derived from addresses. Both have the bit of a
// locally administered address (IEEE 802, bit 1). That of the host link is high,
// because a bridge that was given no MAC of its own takes the lowest of its ports'.
const (
	containerMAC = 0x6e
	hostMAC      = 0xfe
)

// The second byte: of a MAC that holds the IPv4 address itself, and of the others.
const (
	plainMAC  = 0x73
	hashedMAC = 0x36
)

// ContainerMAC derives the MAC of a bridge's or a container's interface from its
// addresses, IPv4 first, so that neighbours who remember an address remember the right
// MAC, and no MAC ever has stood for other addresses.
func ContainerMAC(addrs ...netip.Addr) net.HardwareAddr { return derive(containerMAC, addrs) }

// HostMAC derives the MAC of a host link from its container's addresses.
func HostMAC(addrs ...netip.Addr) net.HardwareAddr { return derive(hostMAC, addrs) }

// IsDerived says whether a MAC looks like one of ContainerMAC's.
func IsDerived(mac net.HardwareAddr) bool {
	return mac[0] == containerMAC && (mac[1] == plainMAC || mac[1] == hashedMAC)
}

// derive gives an IPv4 address alone its own MAC. With an IPv6 address, two containers
// of a bridge have different ones at least where each has a pair (see Pair), or no IPv4
// address and the same upper bits: what all of those have in common is hashed, and the
// rest counted.
func derive(first byte, addrs []netip.Addr) net.HardwareAddr {
	last := addrs[len(addrs)-1]
	_, number := words(addrs[0])
	mac := net.HardwareAddr{first, plainMAC, 0, 0, 0, 0}
	sum := uint32(number)
	if last.Is6() {
		high, low := words(last)
		var common [16]byte
		binary.BigEndian.PutUint64(common[:8], high)
		binary.BigEndian.PutUint64(common[8:], low-uint64(sum))
		hash := fnv.New32a()
		_, _ = hash.Write(common[:])
		mac[1], sum = hashedMAC, sum+hash.Sum32()
	}
	binary.BigEndian.PutUint32(mac[2:], sum)
	return mac
}
