// Package lease knows how netsetgo remembers: the names that its links carry, the
// note on its bridges, and which address is tried next. It is plain text and
// numbers, and never asks the kernel.
package lease

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
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

// hashed puts four digits of a hash of a text between it and its mark. The kernel chooses the
// list in which it looks for a name by the first 16 bytes (dev_name_hash, net/core/dev.c;
// IFNAMSIZ, linux/if.h): without them, all leases of a bridge would be in one.
func hashed(mark, text string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(text))
	sum := hash.Sum32()
	return fmt.Sprintf("%s%04x:%s", mark, uint16(sum>>16^sum), text)
}

// textOf is the text of a name that has the mark, and the digits that go with it.
func textOf(mark, name string) (text string, ok bool) {
	rest, ok := strings.CutPrefix(name, mark)
	_, text, _ = strings.Cut(rest, ":")
	return text, ok && name == hashed(mark, text)
}

// AddressName is the name that leases an address of a bridge.
func AddressName(bridge string, addr netip.Addr) string {
	return hashed(addressMark, bridge+":"+addr.String())
}

// NamespaceName is the name that says whose attachment a link is, by the
// container interface and the inode of the namespace.
func NamespaceName(containerInterface string, inode uint64) string {
	return hashed(namespaceMark, containerInterface+":"+strconv.FormatUint(inode, 10))
}

// IDName is the name that says it by the container's id. An id that doesn't fit
// is cut, hashed, and ends in '~'; so is one that ends in '~' of itself, so that
// no two ids share a name.
func IDName(containerInterface, id string) string {
	const room = maxAltname - len(idMark+"0000:")
	text := containerInterface + ":" + id
	if len(text) <= room && !strings.HasSuffix(id, "~") {
		return hashed(idMark, text)
	}
	sum := sha256.Sum256([]byte(id))
	tail := "-" + hex.EncodeToString(sum[:16]) + "~"
	if most := room - len(tail); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return hashed(idMark, text+tail)
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
	return hashed(portMark, fmt.Sprintf("%s:%s:%d:%s", p.Protocol, ports, p.ContainerPort, address))
}

// UncheckedName is the name that says, beside that of the address, that who has leased it may
// send what it likes. How a port is set up doesn't tell: one put on its bridge anew learns.
func UncheckedName(bridge string, addr netip.Addr) string {
	return hashed(uncheckedMark, bridge+":"+addr.String())
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
		if rest, ok := textOf(addressMark, name); ok {
			bridge, text, _ := strings.Cut(rest, ":")
			if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
				owner.Bridge, owner.Addresses = bridge, append(owner.Addresses, addr)
			}
		}
		if rest, ok := textOf(portMark, name); ok {
			if port, ok := readPort(rest); ok {
				owner.Ports = append(owner.Ports, port)
			}
		}
		if _, ok := textOf(uncheckedMark, name); ok {
			owner.Unchecked = true
		}
		if rest, ok := textOf(namespaceMark, name); ok {
			containerInterface, text, _ := strings.Cut(rest, ":")
			if inode, err := strconv.ParseUint(text, 10, 64); err == nil {
				owner.ContainerInterface, owner.Inode = containerInterface, inode
			}
		}
		if rest, ok := textOf(idMark, name); ok {
			_, owner.ID, _ = strings.Cut(rest, ":")
		}
	}
	slices.SortFunc(owner.Addresses, netip.Addr.Compare) // the shorter before the longer
	return owner
}
