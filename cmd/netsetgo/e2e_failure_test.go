package main_test

import (
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// group is netsetgo's mark, as ip prints it.
const group = "7238503"

var _ = Describe("a run that fails", Label("root"), func() {
	var host *testnet.Host
	var container *testnet.Container
	BeforeEach(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
	})

	DescribeTable("changes nothing, and says why", func(script, inContainer, flags, text string) {
		host.Sh(script)
		container.Sh(inContainer)
		hostBefore, containerBefore := host.State(), container.State()
		result := execute(host, strings.Fields(fmt.Sprintf("-pid %d %s", container.Pid, flags))...)
		Expect(fails(result, 1)).To(ContainSubstring(text))
		Expect(host.State()).To(Equal(hostBefore))
		Expect(container.State()).To(Equal(containerBefore))
	},
		Entry("a bridge has the name in the container", "", "ip link add veth1 type bridge", "",
			"making veth1 in the container: a network interface of that name is there already, and isn't netsetgo's; remove it, or choose another -containerInterface"),
		Entry("a veth has the name in the container", "", "ip link add veth1 type veth peer name veth0; ip link set veth1 up; timeout 5 sh -c 'until ip link show veth1 | grep -q NO-CARRIER; do :; done'", "",
			"a network interface of that name is there already"),
		Entry("lo has it as an altname", "", "ip link property add dev lo altname eth0", "-containerInterface eth0",
			"a network interface of that name is there already"),
		Entry("the bridge's name is a veth's", "ip link add brg0 type veth peer name other", "", "",
			`connecting to bridge brg0: that is a name of the veth "brg0"; choose another -bridgeName`),
		Entry("the bridge's name is lo's", "ip link property add dev lo altname brg0", "", "",
			`connecting to bridge brg0: that is a name of the device "lo"; choose another -bridgeName`),
		Entry("the bridge's name is another bridge's altname", "ip link add name other type bridge; ip link property add dev other altname brg0", "", "",
			`connecting to bridge brg0: that is a name of the bridge "other"; choose another -bridgeName`),
		Entry("there is a default route", "", "ip link add uplink type bridge; ip link set uplink addrgenmode none; ip link set uplink up; ip route add default dev uplink", "",
			"there is one already; use -defaultRoute=false"),
		Entry("there is a default route of another metric", "", "ip link set lo up; ip route add default dev lo metric 900", "",
			"use -defaultRoute=false"),
		Entry("the subnet is another bridge's", "ip link add other type bridge; ip address add 10.10.10.1/24 dev other; ip link set other up", "", "",
			`giving bridge brg0 its address 10.10.10.1/24: the host reaches 10.10.10.1/32 by bridge "other"; choose another -bridgeAddress`),
		Entry("the subnet is behind another link", "ip link add other type bridge; ip address add 10.9.9.1/24 dev other; ip link set other up; ip route add 10.10.10.0/24 via 10.9.9.2", "", "",
			"choose another -bridgeAddress"),
		Entry("the subnet is part of that of other containers",
			"ip link add other group "+group+" type bridge; ip address add 10.10.0.1/16 dev other; ip link set other up", "", "",
			`giving bridge brg0 its address 10.10.10.1/24: the host reaches 10.10.0.0/16 by bridge "other"; choose another -bridgeAddress`),
		Entry("another's subnet is part of it", "ip link add other type bridge; ip address add 10.10.7.1/24 dev other", "", "-bridgeAddress 10.10.10.1/16",
			"giving bridge brg0 its address 10.10.10.1/16: the host has 10.10.7.1/24, which is in that subnet; choose another -bridgeAddress"),
		Entry("the kernel refuses a route", "", "ip link add x type bridge; ip link set x addrgenmode none; ip link set x up; ip route add 192.168.0.0/16 dev x", "-route 192.168.0.0/16", "adding route 192.168.0.0/16"),
	)

	DescribeTable("names the command that helps", func(script, command string) {
		host.Sh(script)
		before := host.State()
		line := fails(execute(host, "-pid", strconv.Itoa(container.Pid)), 1)
		Expect(line).To(HaveSuffix(": " + command))
		Expect(host.State()).To(Equal(before))
		host.Sh(command)
		up(host, container)
		Expect(container.Pings("10.10.10.1")).To(BeTrue())
	},
		Entry("a bridge of somebody else's has another address", "ip link add brg0 type bridge; ip link set brg0 addrgenmode none; ip link set brg0 up; ip address add 10.9.9.1/24 dev brg0",
			"ip address add 10.10.10.1/24 dev brg0"),
		Entry("a bridge of somebody else's has no address", "ip link add brg0 type bridge; ip link set brg0 addrgenmode none; ip link set brg0 up",
			"ip address add 10.10.10.1/24 dev brg0"),
		Entry("a bridge of somebody else's is down", "ip link add brg0 type bridge; ip address add 10.10.10.1/24 dev brg0",
			"ip link set brg0 up"),
		Entry("a bridge of netsetgo's has another address",
			"ip link add brg0 group "+group+" type bridge; ip link set brg0 addrgenmode none; ip link set brg0 up; ip address add 10.9.9.1/24 dev brg0; ip link set brg0 alias netsetgo",
			"ip address add 10.10.10.1/24 dev brg0"),
	)

	It("leaves other containers connected when its address is leased", func() {
		other := host.NewContainer()
		up(host, other, "-id", "web")
		hostBefore, containerBefore := host.State(), container.State()
		line := fails(execute(host, "-pid", strconv.Itoa(container.Pid), "-containerAddress", "10.10.10.2"), 1)
		Expect(line).To(ContainSubstring(`leasing address 10.10.10.2: container "web" holds it, by host link veth0`))
		Expect(host.State()).To(Equal(hostBefore))
		Expect(container.State()).To(Equal(containerBefore))
		Expect(other.Pings("10.10.10.1")).To(BeTrue())
	})

	It("waits for the lock no longer than -timeout", func() {
		hostBefore, containerBefore := host.State(), container.State()
		release := holdLock(host)
		line := fails(host.Run("timeout", "20", binary, "-pid", strconv.Itoa(container.Pid), "-timeout", "100ms"), 1)
		Expect(line).To(ContainSubstring("the time given by -timeout is over"))
		Expect(host.State()).To(Equal(hostBefore))
		Expect(container.State()).To(Equal(containerBefore))
		release()
		up(host, container)
	})
})
