package testnet_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

func TestTestnet(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "testnet")
}

var _ = Describe("the state of a host", Label("root"), func() {
	DescribeTable("shows a change", func(change string) {
		host := testnet.NewHost()
		host.Sh("ip link add before type bridge; ip link set before addrgenmode none; ip link set before up")
		before := host.State()
		Expect(testnet.Changes(before, host.State())).To(BeEmpty())
		host.Sh(change)
		Expect(testnet.Changes(before, host.State())).NotTo(BeEmpty())
	},
		Entry("of links", "ip link add x type bridge"),
		Entry("of a link's MTU", "ip link set before mtu 1400"),
		Entry("of names", "ip link property add dev before altname other"),
		Entry("of an alias", "ip link set before alias text"),
		Entry("of addresses", "ip address add 10.0.0.1/24 dev before"),
		Entry("of routes", "ip route add blackhole 10.0.0.0/8"),
		Entry("of rules", "ip rule add to 10.0.0.0/8 table 7"),
		Entry("of forwarding entries", "bridge fdb add 02:00:00:00:00:01 dev before self local"),
		Entry("of nftables", "nft add table inet x"),
		Entry("of sysctls", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
	)

	It("is its own, and a container's is another", func() {
		host := testnet.NewHost()
		container := host.NewContainer()
		host.Sh("ip link add x type bridge")
		Expect(container.Run("ip", "link", "show", "x").Code).NotTo(Equal(0))
		Expect(testnet.NewHost().Run("ip", "link", "show", "x").Code).NotTo(Equal(0))
	})
})
