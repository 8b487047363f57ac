package main_test

import (
	"strconv"
	"strings"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// cniResult reads what up printed as the CNI library does it for its own plugins.
func cniResult(result testnet.Result) *types100.Result {
	GinkgoHelper()
	Expect(result.Stderr).To(BeEmpty())
	Expect(result.Code).To(Equal(0))
	version, err := create.DecodeVersion([]byte(result.Stdout))
	Expect(err).NotTo(HaveOccurred())
	Expect(version).To(Equal("1.1.0"))
	parsed, err := create.Create(version, []byte(result.Stdout))
	Expect(err).NotTo(HaveOccurred())
	typed, err := types100.GetResult(parsed)
	Expect(err).NotTo(HaveOccurred())
	return typed
}

var _ = Describe("the result of up", Label("root"), func() {
	var host *testnet.Host
	var container *testnet.Container
	BeforeEach(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
		host.Must("ip", "netns", "attach", "blue", strconv.Itoa(container.Pid))
	})

	DescribeTable("is one of CNI, and says what ip says", func(sandbox, name, flags string) {
		flags = strings.ReplaceAll(flags, "PID", strconv.Itoa(container.Pid))
		sandbox = strings.ReplaceAll(sandbox, "PID", strconv.Itoa(container.Pid))
		first := execute(host, append(strings.Fields(flags), "-output", "json")...)
		result := cniResult(first)

		inside := links(&container.Process)[name]
		var hostLink link
		for _, each := range links(&host.Process) {
			if each.Index == inside.PeerIndex {
				hostLink = each
			}
		}
		bridge := links(&host.Process)[hostLink.Bridge]
		Expect(result.Interfaces).To(Equal([]*types100.Interface{
			{Name: bridge.Name, Mac: bridge.MAC, Mtu: bridge.MTU},
			{Name: hostLink.Name, Mac: hostLink.MAC, Mtu: hostLink.MTU},
			{Name: name, Mac: inside.MAC, Mtu: inside.MTU, Sandbox: sandbox},
		}))

		Expect(result.IPs).To(HaveLen(1))
		ip := result.IPs[0]
		Expect([]string{ip.Address.String()}).To(Equal(inside.prefixes()))
		Expect(bridge.prefixes()).To(ConsistOf(HavePrefix(ip.Gateway.String() + "/")))
		Expect(ip.Interface).To(HaveValue(Equal(2)), "the one in the sandbox")

		found := []string{}
		for _, route := range result.Routes {
			text := "default"
			if ones, _ := route.Dst.Mask.Size(); ones > 0 {
				text = route.Dst.String()
			}
			text += " via " + route.GW.String() + " dev " + name
			if route.Priority != 0 {
				text += " metric " + strconv.Itoa(route.Priority)
			}
			found = append(found, text)
		}
		Expect(found).To(ConsistOf(routes(container)))
		Expect(result.DNS.IsEmpty()).To(BeTrue(), "netsetgo knows no name servers")
		Expect(execute(host, append(strings.Fields(flags), "-output", "json")...)).To(Equal(first), "the second run finds the same")
	},
		Entry("by default", "/proc/PID/ns/net", "veth1", "-pid PID"),
		Entry("of a named namespace", "/run/netns/blue", "eth0", "-netns blue -containerInterface eth0 -id web"),
		Entry("with a path", "/run/netns/blue", "veth1", "-netns /run/netns/blue -bridgeName lab -bridgeAddress 192.168.7.6/29 -mac 02:00:00:00:00:2a -mtu 1280"),
		Entry("with routes", "/proc/PID/ns/net", "veth1", "-pid PID -route 192.168.0.0/16,metric=5 -route 172.16.0.0/12,via=10.10.10.9"),
		Entry("without a default route", "/proc/PID/ns/net", "veth1", "-pid PID -defaultRoute=false"),
	)

	It("is turned into one of an earlier version by the CNI library", func() {
		result := cniResult(execute(host, "-netns", "blue", "-output", "json"))
		earlier, err := result.GetAsVersion("0.4.0")
		Expect(err).NotTo(HaveOccurred())
		Expect(earlier.Version()).To(Equal("0.4.0"))
	})
})
