package kernel_test

import (
	"github.com/netsetgo/netsetgo"
	"github.com/netsetgo/netsetgo/configurer"
	"github.com/netsetgo/netsetgo/configurer/kernel"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// What the types of messages ask for. Those of nftables have its subsystem in front
// (linux/netfilter/nfnetlink.h).
var asked = map[uint16]string{
	unix.RTM_GETLINK: "get link", unix.RTM_NEWLINK: begin, unix.RTM_SETLINK: "set link", unix.RTM_NEWLINKPROP: "new name",
	unix.RTM_GETADDR: "get addresses", unix.RTM_NEWADDR: "new address", unix.RTM_GETROUTE: "get routes", unix.RTM_NEWROUTE: "new route",
	unix.RTM_GETNSID: "get namespace", unix.RTM_NEWNEIGH: "new MAC of a port",
	ofNFTables | unix.NFT_MSG_GETTABLE: "get table", ofNFTables | unix.NFT_MSG_GETCHAIN: "get chain",
	ofNFTables | unix.NFT_MSG_GETSETELEM: "get element", ofNFTables | unix.NFT_MSG_NEWSETELEM: "new element",
	unix.RTM_DELLINK: end,
}

// A transaction of nftables begins and ends with the numbers of links made and deleted
// (NFNL_MSG_BATCH_BEGIN, linux/netfilter/nfnetlink.h).
const begin, end = "new link, or begin", "end"

const ofNFTables = unix.NFNL_SUBSYS_NFTABLES << 8

var _ = Describe("the messages of a run", Label("root"), onHost, func() {
	BeforeEach(testnet.RequireRoot)

	It("to a bridge that is there are few, and each has its reason", func() {
		if !testnet.SettlesLinks() {
			Skip("before Linux 6.8 there are more: looks until the carrier is seen; before 6.2 for the index of the pair; before 5.18 the MAC's rule")
		}
		sh("ip link set lo up; ip link add up0 type veth peer name far0; ip address add 192.0.2.1/24 dev up0; ip link set up0 up; ip route add default via 192.0.2.254")
		plain := func(system kernel.System) {
			GinkgoHelper()
			netset := netsetgo.New(configurer.NewHostConfigurer(system), configurer.NewContainerConfigurer(system))
			Expect(netset.Up(netsetgo.NetworkConfig{Namespace: newNamespace(), NAT: netsetgo.No}, 0)).To(Succeed())
		}
		for range 2 { // the second one writes down where to look next
			plain(kernel.System{})
		}
		var sent []string
		plain(kernel.System{Sent: func(kind uint16) { sent = append(sent, asked[kind]) }})
		Expect(sent).To(HaveExactElements(
			// The host's side. Is the container connected already?
			"get link",
			// The links of all default routes, of both families, those that rules choose
			// included: their MTU is the pair's, and they are to be closed but to bridges.
			"get routes", "get routes", "get routes", "get routes",
			"get link",                  // an uplink: its MTU, and whether it forwards
			"get link", "get addresses", // the bridge, and whether it is as asked for
			// That all rules are there, by their number in each chain.
			"get table", "get chain", "get chain", "get chain", "get chain", "get chain", "get chain",
			"get table", "get chain", "get chain",
			// What they hold for: that of the bridge, of its uplink, and what it must not be.
			"get element", "get element", "get element", "get element", "get element", "get element",
			begin,                           // the pair, in its place
			"set link",                      // no IPv6 that nobody asked for
			"new name",                      // the lease
			"set link", "new MAC of a port", // the port takes no other MAC
			begin, "new element", end, // nor another address
			"get element", // nobody's published port leads to that address
			"set link",    // now the host link comes up
			"set link",    // where the next run begins to look
			// The container's side, which knows nothing of the other. Is it connected already?
			"get link",
			"get link", "get link", "get namespace", // the peer, its host link, and that they belong together
			"get routes", "get routes", // is there a default route already?
			"get link", "get addresses", // lo, and what has to be put back should the rest fail
			"set link", "set link", "set link", "new address", "new route", // all at once
			"get link", "get link", // settles the carrier of the port and of the bridge
			"new name", // whose it is: complete
		))
		Expect(sent).To(HaveLen(51)) // as the README says
	})
})
