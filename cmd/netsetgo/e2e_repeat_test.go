package main_test

import (
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("up for a container that is connected, with the kernel", Label("root"), func() {
	const flags = "-id web -containerAddress 10.10.10.9 -mtu 1400 -mac 02:00:00:00:00:2a -route 192.168.0.0/16,metric=7"

	var (
		host                      *testnet.Host
		container                 *testnet.Container
		onHost, inside, namespace string
	)

	BeforeEach(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
		namespace = strings.TrimSpace(container.Must("stat", "-Lc", "%i", "/proc/self/ns/net"))
		up(host, container, strings.Fields(flags)...)
		onHost, inside = host.State(), container.State()
	})

	unchanged := func() {
		GinkgoHelper()
		stays(&host.Process, onHost)
		stays(&container.Process, inside)
	}

	DescribeTable("changes nothing and is done", func(flags string) {
		up(host, container, strings.Fields(flags)...)
		up(host, container, strings.Fields(flags)...)
		unchanged()
		Expect(address(container, "veth1")).To(Equal("10.10.10.9"))
	},
		Entry("by the same flags", flags),
		Entry("by no flags", ""),
		Entry("by equal flags", "-bridgeName brg0 -bridgeAddress 10.10.10.1/24 -containerAddress 10.10.10.9/24 -vethNamePrefix veth "+
			"-containerInterface veth1 -id web -mtu 1400 -mac 02:00:00:00:00:2A -route 192.168.0.0/16,via=10.10.10.1,metric=7 -defaultRoute"),
		Entry("by another way to the container, and another time", "-timeout 3s -output text"),
	)

	It("changes nothing and is done, for an OCI state of any id", func() {
		succeeds(host.RunWith(ociState("web", "creating", container.Pid), binary))
		succeeds(host.RunWith(ociState("other", "created", container.Pid), binary))
		unchanged()
	})

	It("is done where the address was chosen for the container", func() {
		next := host.NewContainer()
		up(host, next)
		ip := address(next, "veth1")
		onHost = host.State()
		up(host, next)
		up(host, next, "-containerAddress", ip)
		unchanged()
	})

	DescribeTable("refuses what differs, and names it", func(flags string, differences ...string) {
		message := fails(execute(host, append([]string{"-pid", strconv.Itoa(container.Pid)}, strings.Fields(flags)...)...), 1)
		for _, difference := range differences {
			Expect(message).To(ContainSubstring(difference))
		}
		unchanged()
	},
		Entry("of the bridge", "-bridgeName br2", "bridgeName is brg0, asked for is br2"),
		Entry("of the bridge's address", "-bridgeAddress 10.10.10.2/24", "bridgeAddress is [10.10.10.1/24], asked for is 10.10.10.2/24"),
		Entry("of the bridge's prefix", "-bridgeAddress 10.10.10.1/16", "bridgeAddress is [10.10.10.1/24], asked for is 10.10.10.1/16"),
		Entry("of the address", "-containerAddress 10.10.10.8", "containerAddress is 10.10.10.9, asked for is 10.10.10.8"),
		Entry("of the prefix", "-vethNamePrefix lan -containerInterface veth1", "vethNamePrefix"),
		Entry("of the id", "-id db", `id is "web", asked for is "db"`),
		Entry("of the MTU", "-mtu 1300", "mtu is 1400, asked for is 1300"),
		Entry("of the MAC", "-mac 02:00:00:00:00:2b", "mac is 02:00:00:00:00:2a, asked for is 02:00:00:00:00:2b"),
		Entry("of a route", "-route 172.16.0.0/12", "172.16.0.0/12"),
		Entry("of a route's metric", "-route 192.168.0.0/16,metric=8", "192.168.0.0/16", "metric 8"),
		Entry("of a route's gateway", "-route 192.168.0.0/16,via=10.10.10.7,metric=7", "192.168.0.0/16", "10.10.10.7"),
		Entry("of the default route", "-defaultRoute=false", "defaultRoute is true, asked for is false"),
		Entry("of everything", "-bridgeName br2 -bridgeAddress 10.20.0.1/16 -containerAddress 10.20.0.2 -id db -mtu 1300 "+
			"-mac 02:00:00:00:00:2b -route 172.16.0.0/12 -defaultRoute=false",
			"bridgeName is", "bridgeAddress is", "containerAddress is", "id is", "mtu is", "mac is", "172.16.0.0/12", "defaultRoute is"),
	)

	It("gives the container a second interface", func() {
		second := []string{"-id", "web", "-containerInterface", "eth1", "-bridgeName", "br2", "-bridgeAddress", "10.20.0.1/16", "-defaultRoute=false"}
		up(host, container, second...)
		up(host, container, second...)
		Expect(links(&container.Process)).To(And(HaveLen(3), HaveKey("veth1"), HaveKey("eth1")))
		Expect(address(container, "eth1")).To(Equal("10.20.0.2"))
		Expect(container.Pings("10.10.10.1")).To(BeTrue())
		Expect(container.Pings("10.20.0.1")).To(BeTrue())
		Expect(routes(container)).To(ConsistOf(
			"default via 10.10.10.1 dev veth1", "192.168.0.0/16 via 10.10.10.1 dev veth1 metric 7"))
	})

	It("refuses a second default route, and says what to do", func() {
		message := fails(execute(host, "-pid", strconv.Itoa(container.Pid), "-containerInterface", "eth1"), 1)
		Expect(message).To(ContainSubstring("-defaultRoute=false"))
		unchanged()
	})

	Context("by another container", func() {
		var next *testnet.Container
		BeforeEach(func() { next = host.NewContainer() })

		refused := func(flags ...string) string {
			GinkgoHelper()
			before := next.State()
			message := fails(execute(host, append([]string{"-pid", strconv.Itoa(next.Pid)}, flags...)...), 1)
			stays(&next.Process, before)
			unchanged()
			return message
		}

		It("refuses its address, and names the holder by its id", func() {
			Expect(refused("-containerAddress", "10.10.10.9")).To(And(
				ContainSubstring("10.10.10.9"), ContainSubstring(`container "web"`), ContainSubstring("veth0")))
		})

		It("refuses its address, and names a holder without an id by its namespace", func() {
			down(host, container)
			up(host, container, "-containerAddress", "10.10.10.9")
			onHost, inside = host.State(), container.State()
			Expect(refused("-containerAddress", "10.10.10.9")).To(And(
				ContainSubstring("10.10.10.9"), ContainSubstring(fmt.Sprintf(`interface "veth1" in network namespace %s`, namespace))))
		})

		It("refuses its id, and names the holder", func() {
			Expect(refused("-id", "web")).To(And(ContainSubstring(`"web"`), ContainSubstring("veth0")))
		})

		It("refuses its id in an OCI state", func() {
			message := fails(host.RunWith(ociState("web", "created", next.Pid), binary), 1)
			Expect(message).To(ContainSubstring(`"web"`))
			unchanged()
		})

		It("gives it id and address when it was just killed", func() {
			settle(host)
			container.Kill()
			up(host, next, "-id", "web", "-containerAddress", "10.10.10.9")
			Expect(next.Pings("10.10.10.1")).To(BeTrue())
			Expect(links(&host.Process)).To(HaveLen(3))
		})

		It("chooses an address that was never used before one that just was", func() {
			up(host, next)
			down(host, next)
			up(host, next)
			Expect(address(next, "veth1")).To(Equal("10.10.10.11"))
		})
	})
})
