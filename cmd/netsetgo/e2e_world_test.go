package main_test

import (
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// world is a host between others, whose containers netsetgo connects.
type world struct{ *testnet.World }

func newWorld(containers ...string) world {
	GinkgoHelper()
	return world{testnet.NewWorld(containers...)}
}

// flags connect a container of a world: those of a to brg0, of b to brg1, of c to brg2, by both
// families.
func flags(name string) []string {
	bridge := strings.NewReplacer("a", "brg0", "b", "brg1", "c", "brg2").Replace(name[:1])
	gateways, own := testnet.Addresses(bridge), testnet.Addresses(name)
	return []string{
		"-netns", name, "-containerInterface", "eth0", "-bridgeName", bridge,
		"-bridgeAddress", gateways[0] + "/24," + gateways[1] + "/64",
		"-containerAddress", own[0] + "," + own[1],
	}
}

// up connects a container with more flags, and says that it succeeds.
func (w world) up(name string, more ...string) {
	GinkgoHelper()
	succeeds(w.run(name, more...))
}

// run is a run that connects a container.
func (w world) run(name string, more ...string) testnet.Result {
	GinkgoHelper()
	result := execute(w.Host, append(flags(name), more...)...)
	if result.Code == 0 {
		w.settle(name)
	}
	return result
}

// settle waits for the kernel to take packets to a container's IPv6 address, which it does
// a moment after the address is there (addrconf_dad_work, net/ipv6/addrconf.c).
func (w world) settle(name string) {
	GinkgoHelper()
	Eventually(func() string { return w.Node(name).Run("ip", "route", "get", v6(name)).Stdout }).Should(HavePrefix("local "))
}

// down disconnects a container, and says that it succeeds.
func (w world) down(name string) {
	GinkgoHelper()
	succeeds(execute(w.Host, "down", "-netns", name, "-containerInterface", "eth0"))
}

// upAll connects some containers alike.
func (w world) upAll(names []string, more ...string) {
	GinkgoHelper()
	for _, name := range names {
		w.up(name, more...)
	}
}

// mac is that of a link of a node.
func (w world) mac(node, device string) string {
	GinkgoHelper()
	return links(w.Node(node))[device].MAC
}

// isAsBefore says that the host is as it was, when all its containers are gone. Of what
// its neighbours are, it may know more.
func (w world) isAsBefore(before string) {
	GinkgoHelper()
	Eventually(func() string { return testnet.Changes(before, w.Host.State()) }).
		WithTimeout(5 * time.Second).Should(BeEmpty())
}

// leaks are packets that came from an address which only containers have.
func leaks(tap *testnet.Tap) []testnet.Packet {
	return tap.Seen(func(packet testnet.Packet) bool {
		return packet.From.IsValid() && testnet.IsContainers(packet.From)
	})
}

// bothWays are entries of a table, with and without br_netfilter showing the firewall
// what passes through bridges.
func bothWays() []TableEntry {
	return []TableEntry{
		Entry("where the firewall sees what is bridged", "1"),
		Entry("where it doesn't", "0"),
	}
}

// v4 is the IPv4 address of a name of the world.
func v4(name string) string { return testnet.Addresses(name)[0] }

// v6 is the IPv6 address of a name of the world.
func v6(name string) string { return testnet.Addresses(name)[1] }

// mustAddrPort is what a spec has written down.
func mustAddrPort(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
