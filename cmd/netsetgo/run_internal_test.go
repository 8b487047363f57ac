package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/netsetgo/netsetgo"
)

// nowhere is a namespace that doesn't exist: should a check be missing, these specs
// touch no network all the same.
const nowhere = "/nonexistent/netsetgo/namespace"

// finished is how a run ended.
type finished struct {
	code           int
	stdout, stderr string
}

func finish(stdin string, args ...string) finished {
	var stdout, stderr bytes.Buffer
	code := run(args, strings.NewReader(stdin), &stdout, &stderr)
	return finished{code, stdout.String(), stderr.String()}
}

var _ = Describe("the process", Label("unit"), func() {
	DescribeTable("ends with 2 and one line", func(text string, args ...string) {
		end := finish("", args...)
		Expect(end.code).To(Equal(2))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(MatchRegexp(`\Anetsetgo: [^\n]+\n\z`))
		Expect(end.stderr).To(ContainSubstring(text))
		Expect(end.stderr).NotTo(ContainSubstring("\x1b"))
	},
		Entry("on an unknown verb", `unknown verb "connect"`, "connect", "-netns", nowhere),
		Entry("on an empty verb", `unknown verb ""`, "", "-netns", nowhere),
		Entry("on a verb with an escape sequence", `"\x1b[31m"`, "\x1b[31m"),
		Entry("on an unknown flag", "-nope", "-nope", "-netns", nowhere),
		Entry("on a flag with an escape sequence", "-", "-a\x1b[31m"),
		Entry("on a flag with a line's end", "-", "-a\nb"),
		Entry("on a second verb", `unexpected argument "down"`, "up", "-netns", nowhere, "down"),
		Entry("on a flag of version", `unknown flag "-v"`, "version", "-v"),
		Entry("on a pid that can't be", "-pid 0", "-pid", "0"),
		Entry("on both targets", "-pid and -netns", "-pid", "7", "-netns", nowhere),
		Entry("on a name that is too long", "at most 15", "-netns", nowhere, "-bridgeName", "sixteen-bytes-xx"),
		Entry("on a name with an escape sequence", `"a\x1b"`, "-netns", nowhere, "-bridgeName", "a\x1b"),
		Entry("on an address outside the subnet", "isn't in the bridge's subnet", "-netns", nowhere, "-containerAddress", "10.9.9.9"),
		Entry("on another prefix", "prefix of the bridge", "-netns", nowhere, "-containerAddress", "10.10.10.2/16"),
		Entry("on an MTU of 67", "mtu 67", "-netns", nowhere, "-mtu", "67"),
		Entry("on a MAC of a group", "mac 01:", "-netns", nowhere, "-mac", "01:00:00:00:00:01"),
		Entry("on a route with host bits", "host bits", "-netns", nowhere, "-route", "192.168.0.1/16"),
		Entry("on bad flags of down", "mtu 67", "down", "-netns", nowhere, "-mtu", "67"),
	)

	DescribeTable("ends with 1 and one line", func(stdin, text string, args ...string) {
		end := finish(stdin, args...)
		Expect(end.code).To(Equal(1))
		Expect(end.stdout).To(BeEmpty())
		Expect(end.stderr).To(MatchRegexp(`\Anetsetgo: [^\n]+\n\z`))
		Expect(end.stderr).To(ContainSubstring(text))
		Expect(end.stderr).NotTo(ContainSubstring("\x1b"))
	},
		Entry("without a target", "", "name a container by -pid or -netns"),
		Entry("without a target for up", "", "standard input: it is empty", "up"),
		Entry("without a target for down", "", "standard input: it is empty", "down"),
		Entry("on a state that isn't one", "web", "isn't an OCI state"),
		Entry("on a state with an unknown status", `{"id":"web","pid":4194304,"status":"pau\u001bsed"}`, `"pau\x1bsed"`),
		Entry("on a stopped state without an id", `{"status":"stopped"}`, "has no id"),
		Entry("on a state inside the container", `{"id":"web","pid":1,"status":"created"}`, "createContainer"),
	)

	It("ends with 2 on a state whose id can't be an interface's name", func() {
		end := finish(`{"id":"a/b","pid":4194304,"status":"created"}`)
		Expect(end.code).To(Equal(2))
		Expect(end.stderr).To(ContainSubstring(`id "a/b"`))
	})

	DescribeTable("explains itself on standard output", func(args ...string) {
		end := finish("", args...)
		Expect(end.code).To(Equal(0))
		Expect(end.stdout).To(HavePrefix("usage: netsetgo"))
		Expect(end.stderr).To(BeEmpty())
	},
		Entry("-h", "-h"), Entry("up -h", "up", "-h"), Entry("down -h", "down", "-h"), Entry("among flags", "-mtu", "7", "--help"),
	)

	It("prints its version", func() {
		end := finish("", "version")
		Expect(end.code).To(Equal(0))
		Expect(end.stdout).To(MatchRegexp(`\Anetsetgo \S+ go1\.\S+ linux/\w+\n\z`))
		Expect(end.stderr).To(BeEmpty())
	})
})

var _ = Describe("an error", Label("unit"), func() {
	DescribeTable("keeps to its line, and a terminal unharmed", func(text, expected string) {
		Expect(oneLine(text)).To(Equal(expected))
	},
		Entry("as it is", `connecting "web": ä 𝄞`, `connecting "web": ä 𝄞`),
		Entry("of two", "one\ntwo", "one; two"),
		Entry("with an escape sequence", "a\x1b[31mb", "a\ufffd[31mb"),
		Entry("with its eight-bit form", "a\u009b31mb", "a\ufffd31mb"),
		Entry("with a carriage return", "a\rb", "a\ufffdb"),
		Entry("with a tab", "a\tb", "a\ufffdb"),
		Entry("with a NUL", "a\x00b", "a\ufffdb"),
		Entry("with a bell", "a\ab", "a\ufffdb"),
		Entry("with another line's end", "a\u2028b", "a\ufffdb"),
		Entry("that turns the line round", "a\u202eb", "a\ufffdb"),
		Entry("that isn't text", "a\xffb", "a\ufffdb"),
	)
})

var _ = Describe("the result", Label("unit"), func() {
	It("is a CNI result", func() {
		var out bytes.Buffer
		Expect(printResult(&out, netsetgo.Attachment{
			Bridge:          netsetgo.Interface{Name: "brg0", MTU: 1500, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}},
			HostLink:        netsetgo.Interface{Name: "veth0", MTU: 1450, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 3}},
			Container:       netsetgo.Interface{Name: "eth0", MTU: 1450, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
			Sandbox:         "/run/netns/blue",
			BridgeAddresses: []netip.Prefix{netip.MustParsePrefix("10.10.10.1/24")},
			Leases:          []netsetgo.Lease{{Address: netip.MustParseAddr("10.10.10.2"), Gateway: netip.MustParsePrefix("10.10.10.1/24")}},
			Routes: []netsetgo.Route{
				{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.10.10.1")},
				{Destination: netip.MustParsePrefix("192.168.0.0/16"), Gateway: netip.MustParseAddr("10.10.10.9"), Metric: 7},
			},
		})).To(Succeed())
		Expect(out.String()).To(MatchJSON(`{
			"cniVersion": "1.1.0",
			"interfaces": [
				{"name": "brg0", "mac": "02:00:00:00:00:02", "mtu": 1500},
				{"name": "veth0", "mac": "02:00:00:00:00:03", "mtu": 1450},
				{"name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1450, "sandbox": "/run/netns/blue"}
			],
			"ips": [{"address": "10.10.10.2/24", "gateway": "10.10.10.1", "interface": 2}],
			"routes": [
				{"dst": "0.0.0.0/0", "gw": "10.10.10.1"},
				{"dst": "192.168.0.0/16", "gw": "10.10.10.9", "priority": 7}
			],
			"dns": {}
		}`))
		Expect(out.String()).To(HaveSuffix("}\n"))
	})

	It("is one that the CNI library's own types take", func() {
		var out bytes.Buffer
		Expect(printResult(&out, netsetgo.Attachment{
			Bridge:          netsetgo.Interface{Name: "brg0", MTU: 1500, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}},
			HostLink:        netsetgo.Interface{Name: "veth0", MTU: 1450, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 3}},
			Container:       netsetgo.Interface{Name: "eth0", MTU: 1450, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
			Sandbox:         "/proc/4711/ns/net",
			BridgeAddresses: []netip.Prefix{netip.MustParsePrefix("10.20.0.1/16")},
			Leases:          []netsetgo.Lease{{Address: netip.MustParseAddr("10.20.0.2"), Gateway: netip.MustParsePrefix("10.20.0.1/16")}},
			Routes: []netsetgo.Route{
				{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.20.0.1")},
				{Destination: netip.MustParsePrefix("192.168.0.0/16"), Gateway: netip.MustParseAddr("10.20.0.9"), Metric: 7},
			},
		})).To(Succeed())
		expected := &types100.Result{
			CNIVersion: "1.1.0",
			Interfaces: []*types100.Interface{
				{Name: "brg0", Mac: "02:00:00:00:00:02", Mtu: 1500},
				{Name: "veth0", Mac: "02:00:00:00:00:03", Mtu: 1450},
				{Name: "eth0", Mac: "02:00:00:00:00:01", Mtu: 1450, Sandbox: "/proc/4711/ns/net"},
			},
			IPs: []*types100.IPConfig{{Interface: new(2), Address: network("10.20.0.2/16"), Gateway: net.ParseIP("10.20.0.1")}},
			Routes: []*types.Route{
				{Dst: network("0.0.0.0/0"), GW: net.ParseIP("10.20.0.1")},
				{Dst: network("192.168.0.0/16"), GW: net.ParseIP("10.20.0.9"), Priority: 7},
			},
		}
		Expect(create.CreateFromBytes(out.Bytes())).To(Equal(expected))
		Expect(types100.NewResult(out.Bytes())).To(Equal(expected))
		Expect(types100.NewResult(must(json.Marshal(expected)))).To(Equal(expected))
	})

	It("has only addresses, also where the bridge lost its own", func() {
		var out bytes.Buffer
		Expect(printResult(&out, netsetgo.Attachment{
			Bridge: netsetgo.Interface{Name: "brg0"}, HostLink: netsetgo.Interface{Name: "veth0"},
			Container: netsetgo.Interface{Name: "eth0"}, Leases: []netsetgo.Lease{{Address: netip.MustParseAddr("10.10.10.2")}},
		})).To(Succeed())
		Expect(create.CreateFromBytes(out.Bytes())).Error().NotTo(HaveOccurred())
		var read struct {
			IPs []struct{ Address string }
		}
		Expect(json.Unmarshal(out.Bytes(), &read)).To(Succeed())
		for _, ip := range read.IPs {
			_, err := netip.ParsePrefix(ip.Address)
			Expect(err).NotTo(HaveOccurred())
		}
	})
})

// network is an address with its subnet, as the CNI library has it.
func network(text string) net.IPNet {
	GinkgoHelper()
	return *must(types.ParseCIDR(text))
}
