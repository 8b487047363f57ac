package lease_test

import (
	"net"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/netsetgo/netsetgo/configurer/lease"
)

var interfaceName = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\z`)

func FuzzIDName(f *testing.F) {
	f.Add("eth0", "web", "db")
	f.Add("veth1", "pod:web:1", "pod:web:2")
	f.Add("fifteen-bytes--", strings.Repeat("ä", 80), strings.Repeat("ä", 81))
	f.Add("eth0", "web~", "web")
	f.Add("eth0", strings.Repeat("a", 111), strings.Repeat("a", 112)) // of which one fits
	f.Fuzz(func(t *testing.T, ifname, one, other string) {
		if !interfaceName.MatchString(ifname) || !utf8.ValidString(one) || !utf8.ValidString(other) || one == "" {
			t.Skip("Validate lets none of them through")
		}
		name := lease.IDName(ifname, one)
		if len(name) > 127 || !utf8.ValidString(name) {
			t.Fatalf("%q has %d bytes", name, len(name))
		}
		if one != other && name == lease.IDName(ifname, other) {
			t.Fatalf("%q and %q share %q", one, other, name)
		}
		id := lease.ReadOwner([]string{name}).ID
		if id != one && !strings.HasSuffix(name, "~") {
			t.Fatalf("%q was read back as %q", one, id)
		}
	})
}

// FuzzNames: whatever Validate lets through has names that the kernel takes, and that are
// read back.
func FuzzNames(f *testing.F) {
	f.Add("brg0", "eth0", []byte{10, 10, 10, 2}, []byte(net.ParseIP("fd10::2")), uint64(4026532001))
	f.Add("fifteen-bytes.0", "fifteen-bytes--", []byte{255, 255, 255, 254}, []byte(net.ParseIP("1111:2222:3333:4444:5555:6666:7777:8888")), uint64(1<<64-1))
	f.Fuzz(func(t *testing.T, bridge, ifname string, four, six []byte, inode uint64) {
		if !interfaceName.MatchString(bridge) || !interfaceName.MatchString(ifname) {
			t.Skip("Validate lets none of them through")
		}
		expected := lease.Owner{Bridge: bridge, ContainerInterface: ifname, Inode: inode}
		names := []string{lease.NamespaceName(ifname, inode)}
		for _, bytes := range [][]byte{four, six} {
			if addr, ok := netip.AddrFromSlice(bytes); ok {
				expected.Addresses = append(expected.Addresses, addr)
				names = append(names, lease.AddressName(bridge, addr))
			}
		}
		if expected.Addresses == nil {
			expected.Bridge = ""
		}
		slices.SortFunc(expected.Addresses, netip.Addr.Compare)
		for _, name := range names {
			if len(name) > 127 {
				t.Fatalf("%q has %d bytes", name, len(name))
			}
		}
		if owner := lease.ReadOwner(names); !reflect.DeepEqual(owner, expected) {
			t.Fatalf("%+v was read back from %q as %+v", expected, names, owner)
		}
	})
}

func FuzzReadOwner(f *testing.F) {
	f.Add("brg0:10.10.10.2", "veth1:4026532001", "veth1:pod:web")
	f.Add("", ":", "x")
	f.Add("brg0:fe80::2%\x1b[31m", "veth1:-1", "veth1:")
	f.Fuzz(func(t *testing.T, a, n, c string) {
		owner := lease.ReadOwner([]string{a, lease.Hashed("netsetgo:a:", a), lease.Hashed("netsetgo:n:", n), lease.Hashed("netsetgo:c:", c)})
		if text := owner.String(); strings.ContainsAny(text, "\n\x1b\x00") {
			t.Fatalf("%q reaches a terminal", text)
		}
		for _, addr := range owner.Addresses {
			if addr.Zone() != "" {
				t.Fatalf("%q is leased", addr)
			}
		}
		if !owner.Complete() {
			return
		}
		again := lease.ReadOwner([]string{lease.NamespaceName(owner.ContainerInterface, owner.Inode)})
		if again.ContainerInterface != owner.ContainerInterface || again.Inode != owner.Inode {
			t.Fatalf("%+v was read back as %+v", owner, again)
		}
	})
}

func FuzzReadNote(f *testing.F) {
	f.Add("netsetgo next=10.10.10.3 number=1")
	f.Add("netsetgo")
	f.Add("")
	f.Add("the tower's uplink")
	f.Add("netsetgo next=fd10::3 number=10000 policy=closed,nat was=2/forwarding:0,3/accept_ra:1")
	f.Add("netsetgo next=fe80::1%x number=9999 number=-1")
	f.Fuzz(func(t *testing.T, alias string) {
		note, ok := lease.ReadNote(alias)
		if !ok && !reflect.DeepEqual(note, lease.Note{}) {
			t.Fatalf("%q isn't ours, but says %+v", alias, note)
		}
		if note.Number < 0 || note.Number > lease.MaxNumber {
			t.Fatalf("%q gives number %d", alias, note.Number)
		}
		if again, ok := lease.ReadNote(note.String()); !ok || !reflect.DeepEqual(again, note) {
			t.Fatalf("%+v was read back as %+v", note, again)
		}
		// A number that wasn't there, and one more of an address's zeros.
		if ok && len(note.String()) > max(len(alias), len("netsetgo"))+len(" number=0")+1 {
			t.Fatalf("%q became %q", alias, note)
		}
	})
}

func FuzzCandidates(f *testing.F) {
	f.Add(uint32(0x0a0a0a01), 24, uint32(0))
	f.Add(uint32(0x0a010101), 30, uint32(0x0a010102))
	f.Add(uint32(0xfffffffd), 30, uint32(0xffffffff))
	f.Fuzz(func(t *testing.T, ip uint32, bits int, next uint32) {
		if bits < 1 || bits > 30 {
			t.Skip("Validate doesn't let it through")
		}
		gateway := netip.PrefixFrom(addr(ip), bits)
		host := ip & (1<<(32-bits) - 1)
		if host == 0 || host == 1<<(32-bits)-1 {
			t.Skip("Validate doesn't let it through")
		}
		seen := map[netip.Addr]bool{}
		for candidate := range lease.Candidates(gateway, addr(next)) {
			if seen[candidate] || candidate == gateway.Addr() || !gateway.Contains(candidate) {
				t.Fatalf("%s of %s from %s", candidate, gateway, addr(next))
			}
			seen[candidate] = true
		}
		if most := min(1<<(32-bits)-3, lease.Tries-1); len(seen) < most {
			t.Fatalf("%d of %s from %s", len(seen), gateway, addr(next))
		}
	})
}

func addr(ip uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)})
}

// ipNet are two prefixes as a configuration has them.
func ipNet(four, six netip.Prefix) (net.IP, *net.IPNet, net.IP, *net.IPNet) {
	subnet := func(prefix netip.Prefix) *net.IPNet {
		return &net.IPNet{IP: prefix.Masked().Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
	}
	return four.Addr().AsSlice(), subnet(four), six.Addr().AsSlice(), subnet(six)
}
