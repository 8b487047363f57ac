// Package lease knows how netsetgo remembers: the names that its links carry, the
// note on its bridges, and which address is tried next. It is plain text and
// numbers, and never asks the kernel.
package lease

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/netsetgo/netsetgo"
)

// Group is the group of every link that netsetgo made ("nsg" in ASCII; `ip link`
// prints 7238503). It is set in the message that creates the link, so that
// wherever a run was killed, no link of ours is without it.
const Group = 0x6e7367

// Tries is how many addresses are tried at most. A bridge has 1,023 ports
// (BR_MAX_PORTS, net/bridge/br_private.h), so that one of 1,024 is free.
const Tries = 1024

// maxAltname is ALTIFNAMSIZ less its NUL, linux/if.h.
const maxAltname = 127

const (
	addressMark   = "netsetgo:a:"
	namespaceMark = "netsetgo:n:"
	idMark        = "netsetgo:c:"
	portMark      = "netsetgo:p:"
	uncheckedMark = "netsetgo:u:"
)

// AddressName is the name that leases an address of a bridge.
func AddressName(bridge string, addr netip.Addr) string {
	return addressMark + bridge + ":" + addr.String()
}

// NamespaceName is the name that says whose attachment a link is, by the
// container interface and the inode of the namespace.
func NamespaceName(containerInterface string, inode uint64) string {
	return namespaceMark + containerInterface + ":" + strconv.FormatUint(inode, 10)
}

// IDName is the name that says it by the container's id. An id that doesn't fit
// is cut, hashed, and ends in '~'; so is one that ends in '~' of itself, so that
// no two ids share a name.
func IDName(containerInterface, id string) string {
	name := idMark + containerInterface + ":" + id
	if len(name) <= maxAltname && !strings.HasSuffix(id, "~") {
		return name
	}
	sum := sha256.Sum256([]byte(id))
	tail := "-" + hex.EncodeToString(sum[:16]) + "~"
	if most := maxAltname - len(tail); len(name) > most {
		name = strings.ToValidUTF8(name[:most], "")
	}
	return name + tail
}

// PortName is the name that says which port of the host leads to the container.
func PortName(p netsetgo.Publish) string {
	p = p.WithDefaults()
	ports := strconv.Itoa(p.HostPort)
	if p.Count > 1 {
		ports += "-" + strconv.Itoa(p.HostPort+p.Count-1)
	}
	address := "*"
	if p.HostIP.IsValid() {
		address = p.HostIP.String()
	}
	return fmt.Sprintf("%s%s:%s:%d:%s", portMark, p.Protocol, ports, p.ContainerPort, address)
}

// UncheckedName is the name that says, beside that of the address, that who has leased it may
// send what it likes. How a port is set up doesn't tell: one put on its bridge anew learns.
func UncheckedName(bridge string, addr netip.Addr) string {
	return uncheckedMark + bridge + ":" + addr.String()
}

func readPort(text string) (p netsetgo.Publish, ok bool) {
	fields := strings.SplitN(text, ":", 4)
	if len(fields) != 4 || !slices.Contains(netsetgo.Protocols, fields[0]) {
		return p, false
	}
	first, last, isRange := strings.Cut(fields[1], "-")
	if !isRange {
		last = first
	}
	from, errFrom := strconv.ParseUint(first, 10, 16)
	to, errTo := strconv.ParseUint(last, 10, 16)
	container, errContainer := strconv.ParseUint(fields[2], 10, 16)
	address, errAddress := netip.ParseAddr(fields[3])
	if fields[3] == "*" {
		errAddress = nil
	}
	p = netsetgo.Publish{
		HostIP: address, HostPort: int(from), ContainerPort: int(container), Count: int(to) - int(from) + 1, Protocol: fields[0],
	}
	// A zone may hold anything, and no address of ours has one.
	return p, errors.Join(errFrom, errTo, errContainer, errAddress) == nil && from <= to && address.Zone() == ""
}

// Owner is what the names of a link say of it. The zero value says nothing.
type Owner struct {
	// Bridge and Addresses are of the leases, IPv4 first.
	Bridge    string
	Addresses []netip.Addr
	// Ports are those of the host that lead to the container.
	Ports []netsetgo.Publish
	// Unchecked says that the container may send what it likes.
	Unchecked bool
	// ContainerInterface and Inode are of the namespace's name: with it the
	// attachment is complete.
	ContainerInterface string
	Inode              uint64
	// ID is the container's, as far as its name shows it.
	ID string
}

// Complete says that the run which made the link came to its end.
func (o Owner) Complete() bool { return o.ContainerInterface != "" }

// String names the owner as an error message does.
func (o Owner) String() string {
	switch {
	case o.ID != "":
		return fmt.Sprintf("container %q", o.ID)
	case o.Complete():
		return fmt.Sprintf("interface %q in network namespace %d", o.ContainerInterface, o.Inode)
	}
	return "an attachment that isn't finished"
}

// ReadOwner reads the names of a link. What isn't ours, or doesn't parse, says
// nothing.
func ReadOwner(altnames []string) Owner {
	var owner Owner
	for _, name := range altnames {
		if rest, ok := strings.CutPrefix(name, addressMark); ok {
			bridge, text, _ := strings.Cut(rest, ":")
			if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
				owner.Bridge, owner.Addresses = bridge, append(owner.Addresses, addr)
			}
		}
		if rest, ok := strings.CutPrefix(name, portMark); ok {
			if port, ok := readPort(rest); ok {
				owner.Ports = append(owner.Ports, port)
			}
		}
		owner.Unchecked = owner.Unchecked || strings.HasPrefix(name, uncheckedMark)
		if rest, ok := strings.CutPrefix(name, namespaceMark); ok {
			containerInterface, text, _ := strings.Cut(rest, ":")
			if inode, err := strconv.ParseUint(text, 10, 64); err == nil {
				owner.ContainerInterface, owner.Inode = containerInterface, inode
			}
		}
		if rest, ok := strings.CutPrefix(name, idMark); ok {
			_, owner.ID, _ = strings.Cut(rest, ":")
		}
	}
	slices.SortFunc(owner.Addresses, netip.Addr.Compare) // the shorter before the longer
	return owner
}

// noteMark begins the note (ifalias) on a bridge of ours.
const noteMark = "netsetgo"

// Note is what a bridge of ours remembers: hints, which cost look-ups when they
// are lost or wrong, and never a lease. The zero value is that of a new bridge.
type Note struct {
	// Next is the address to be tried first, of the bridge's first family; the zero
	// Addr means the subnet's first. That of a second family follows from the first.
	Next netip.Addr
	// Number is that of the next host link.
	Number int
	// Policy is what the bridge's rules are like; "" where that isn't decided yet.
	Policy string
	// Was is what sysctls of other links were before netsetgo changed them. It isn't a
	// hint: it is written with the lock held alone, and copied by all who write a note.
	Was []Was
}

// Was is a sysctl as it was.
type Was struct {
	Link   int    // its index: names change
	Sysctl string // its last part, with the family's number where both have it
	Value  string
}

// ReadNote reads a bridge's note. An alias that somebody else wrote is not ok: it holds no
// hints, and gives way to what the bridge is like.
func ReadNote(alias string) (note Note, ok bool) {
	fields := strings.Fields(alias)
	if len(fields) == 0 {
		return Note{}, true
	}
	if fields[0] != noteMark {
		return Note{}, false
	}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "next":
			note.Next, _ = netip.ParseAddr(value)
		case "number":
			if number, err := strconv.Atoi(value); err == nil && number >= 0 && number <= MaxNumber {
				note.Number = number
			}
		case "policy":
			note.Policy = value
		case "was":
			note.Was = readWas(value)
		}
	}
	return note, true
}

// String is the note as it stands in the alias.
func (n Note) String() string {
	text := noteMark
	if n.Next.IsValid() {
		text += " next=" + n.Next.String()
	}
	text += " number=" + strconv.Itoa(n.Number)
	if n.Policy != "" {
		text += " policy=" + n.Policy
	}
	var all []string
	for _, was := range n.Was {
		all = append(all, fmt.Sprintf("%d/%s:%s", was.Link, was.Sysctl, was.Value))
	}
	if all != nil {
		text += " was=" + strings.Join(all, ",")
	}
	return text
}

func readWas(text string) []Was {
	var all []Was
	for part := range strings.SplitSeq(text, ",") {
		number, rest, _ := strings.Cut(part, "/")
		sysctl, value, ok := strings.Cut(rest, ":")
		if link, err := strconv.Atoi(number); err == nil && ok {
			all = append(all, Was{link, sysctl, value})
		}
	}
	return all
}

// MaxNote is how long a note may be: IFALIASZ less its NUL, linux/if.h.
const MaxNote = 255

// MaxNumber is the highest number of a host link: four digits, so that a prefix
// may have 11 of a name's 15 bytes.
const MaxNumber = 9999

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
