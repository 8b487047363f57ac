package main_test

import (
	"bytes"
	"fmt"
	"net"
	"slices"

	. "github.com/onsi/ginkgo/v2"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// frame is one that a container sends as it likes.
type frame struct {
	what  string
	bytes []byte
}

// forger makes frames of a1, which knows a2, the gateway, and a MAC that nobody has.
type forger struct {
	own, neighbour, gateway, stranger net.HardwareAddr
	made                              int
}

var broadcast = testnet.MAC("ff:ff:ff:ff:ff:ff")

func newForger(w world) *forger {
	GinkgoHelper()
	return &forger{
		own: testnet.MAC(w.mac("a1", "eth0")), neighbour: testnet.MAC(w.mac("a2", "eth0")),
		gateway: testnet.MAC(w.mac("host", "brg0")), stranger: testnet.MAC("6e:73:0a:0a:0a:99"),
	}
}

// mark makes a frame one of its own.
func (f *forger) mark() []byte {
	f.made++
	return fmt.Appendf(nil, "frame %06d", f.made)
}

// kindOf is the protocol above Ethernet of an address.
func kindOf(address string) uint16 {
	if bytes.Contains([]byte(address), []byte(":")) {
		return testnet.EtherIPv6
	}
	return testnet.EtherIPv4
}

// everybody are the addresses that a packet of a family goes to.
func everybody(like string) string {
	if kindOf(like) == testnet.EtherIPv6 {
		return "ff02::1"
	}
	return "255.255.255.255"
}

// packet is a frame of IP to all others on the bridge.
func (f *forger) packet(mac net.HardwareAddr, from string, protocol byte, payload []byte) []byte {
	return testnet.Ether(broadcast, mac, kindOf(from), testnet.IP(from, everybody(from), protocol, payload))
}

// datagram is one of UDP to all others on the bridge.
func (f *forger) datagram(mac net.HardwareAddr, from string, fromPort, toPort uint16) []byte {
	return f.packet(mac, from, testnet.UDP, testnet.Over(from, everybody(from), fromPort, toPort, f.mark()))
}

// neighbourhood are messages of neighbour discovery (RFC 4861 section 4).
const (
	routerAdvertisement   = 134
	neighbourSolicitation = 135
	neighbourAdvertise    = 136
	redirect              = 137
)

// discovery is a message about an address, with an option that has a mark in it.
func (f *forger) discovery(from string, kind byte, target string) []byte {
	body := testnet.Join([]byte{0x20, 0, 0, 0}, testnet.IP(target, target, 0, nil)[8:24], []byte{14, 2}, f.mark(), []byte{0, 0})
	if kind == routerAdvertisement {
		body = testnet.Join([]byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{14, 2}, f.mark(), []byte{0, 0})
	}
	if kind == redirect {
		body = testnet.Join(body[:20], testnet.IP("2001:db8:ffff::1", "::", 0, nil)[8:24], body[20:])
	}
	return testnet.ICMP6(from, everybody(from), kind, body)
}

// Headers of IPv6 that may stand before another (RFC 8200 section 4).
const (
	hopByHop = 0
	routing  = 43
	options  = 60
)

// fragment is a header of a fragment; its offset is in eights of bytes.
func fragment(next byte, offset uint16, more byte) []byte {
	return []byte{next, 0, byte(offset >> 5), byte(offset<<3) | more, 0, 0, 0, 7}
}

// padding is a header of options that has nothing but padding in it.
func padding(next byte) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }

// disguises are ways to put a message behind other headers: of each the first header's
// number and what comes before the message.
func disguises(next byte) map[string]frame {
	return map[string]frame{
		"behind options for each hop":    {"\x00", padding(next)},
		"behind options":                 {string(rune(options)), padding(next)},
		"behind a list of hops":          {string(rune(routing)), []byte{next, 0, 4, 0, 0, 0, 0, 0}},
		"as the only fragment":           {string(rune(testnet.Fragment)), fragment(next, 0, 0)},
		"in a first fragment":            {string(rune(testnet.Fragment)), fragment(next, 0, 1)},
		"in a fragment behind options":   {string(rune(hopByHop)), testnet.Join(padding(testnet.Fragment), fragment(next, 0, 0))},
		"behind options in a fragment":   {string(rune(testnet.Fragment)), testnet.Join(fragment(options, 0, 0), padding(next))},
		"behind twenty headers":          {string(rune(options)), testnet.Join(bytes.Repeat(padding(options), 19), padding(next))},
		"in a first fragment, by nested": {string(rune(testnet.Fragment)), testnet.Join(fragment(testnet.Fragment, 0, 1), fragment(next, 0, 0))},
	}
}

// tagged puts a tag of a VLAN into a frame (IEEE 802.1Q).
func tagged(kind, vlan uint16, inner []byte) []byte {
	return testnet.Join(inner[:12], []byte{byte(kind >> 8), byte(kind), byte(vlan >> 8), byte(vlan)}, inner[12:])
}

// arrived says whether a frame is among packets: of a tag, the one outside is taken off by
// who receives it.
func (f frame) arrived(packets []testnet.Packet) bool {
	sent := f.bytes
	if len(sent) > 18 && (bytes.Equal(sent[12:14], []byte{0x81, 0}) || bytes.Equal(sent[12:14], []byte{0x88, 0xa8})) {
		sent = testnet.Join(sent[:12], sent[16:])
	}
	return slices.ContainsFunc(packets, func(p testnet.Packet) bool {
		return bytes.Equal(p.Frame, sent) || bytes.Equal(p.Frame, f.bytes)
	})
}
