package main_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("an attachment of two families", Label("root"), func() {
	var p place
	var flags []string
	BeforeEach(func() {
		p = newPlace()
		flags = append([]string{"-netns", "blue"}, strings.Fields(dualStack)...)
	})

	// listing is what list prints as JSON, one object for each attachment.
	listing := func() (all []struct {
		Container, Interface, Bridge, State string
		Addresses                           []string
	},
	) {
		GinkgoHelper()
		Expect(json.Unmarshal([]byte(p.host.Must(binary, "list", "-output", "json")), &all)).To(Succeed())
		return all
	}

	It("is listed with both addresses, IPv4 first", func() {
		other := p.host.NewContainer()
		succeeds(execute(p.host, flags...))
		up(p.host, other, "-id", "six", "-bridgeName", "lab0", "-bridgeAddress", "2001:db8:7::ffff/112")
		lines := strings.Split(p.host.Must(binary, "list"), "\n")
		Expect(lines).To(ContainElement(MatchRegexp(`^net:\[\d+\] +veth1 +10\.10\.10\.2,fd10::2 +6e:36:[0-9a-f:]+ +brg0 +veth0 +up `)))
		Expect(lines).To(ContainElement(MatchRegexp(`^six +veth1 +2001:db8:7::1 +6e:36:[0-9a-f:]+ +lab0 +veth\d+ +up `)))
		found := map[string][]string{}
		for _, each := range listing() {
			Expect(each.State).To(Equal("up"))
			found[each.Bridge] = each.Addresses
		}
		Expect(found).To(Equal(map[string][]string{"brg0": {"10.10.10.2", "fd10::2"}, "lab0": {"2001:db8:7::1"}}))
		down(p.host, other)
		succeeds(execute(p.host, "down", "-netns", "blue"))
		Expect(listing()).To(BeEmpty())
	})

	It("has a CNI result with both, and a default route of each", func() {
		result := execute(p.host, append(flags, "-output", "json", "-publish", "8080:80")...)
		Expect(result.Code).To(Equal(0))
		var cni struct {
			IPs    []struct{ Address, Gateway string }
			Routes []struct{ Dst, GW string }
		}
		Expect(json.Unmarshal([]byte(result.Stdout), &cni)).To(Succeed())
		Expect(cni.IPs).To(Equal([]struct{ Address, Gateway string }{{"10.10.10.2/24", "10.10.10.1"}, {"fd10::2/64", "fd10::1"}}))
		Expect(cni.Routes).To(ConsistOf([]struct{ Dst, GW string }{{"0.0.0.0/0", "10.10.10.1"}, {"::/0", "fd10::1"}}))
		again := execute(p.host, append(flags, "-output", "json")...)
		Expect(again.Stdout).To(Equal(result.Stdout))
	})

	It("leases the pair of an address, or else any", func() {
		containers := []*testnet.Container{p.host.NewContainer(), p.host.NewContainer(), p.host.NewContainer()}
		up(p.host, containers[0], append(strings.Fields(dualStack), "-containerAddress", "fd10::2")...)
		up(p.host, containers[1], append(strings.Fields(dualStack), "-containerAddress", "10.10.10.7")...)
		up(p.host, containers[2], append(strings.Fields(dualStack), "-containerAddress", "10.10.10.9,fd10::99")...)
		Expect(links(&containers[0].Process)["veth1"].prefixes()).To(Equal([]string{"10.10.10.2/24", "fd10::2/64"}))
		Expect(links(&containers[1].Process)["veth1"].prefixes()).To(Equal([]string{"10.10.10.7/24", "fd10::7/64"}))
		Expect(links(&containers[2].Process)["veth1"].prefixes()).To(Equal([]string{"10.10.10.9/24", "fd10::99/64"}))
		Expect(fails(execute(p.host, append(flags, "-containerAddress", "fd10::7")...), 1)).To(MatchRegexp(
			`leasing address fd10::7: interface "veth1" in network namespace \d+ holds it, by host link veth\d+; choose another -containerAddress`))
	})

	DescribeTable("is checked: no difference", func(more string) {
		arguments := append(flags, strings.Fields(more)...)
		succeeds(execute(p.host, arguments...))
		Expect(p.check("", arguments...)).To(BeEmpty())
	},
		Entry("with the defaults", ""),
		Entry("with routes of both", "-route 192.168.0.0/16 -route 2001:db8:7::/48,metric=7"),
		Entry("with its own addresses", "-containerAddress fd10::abcd,10.10.10.9"),
		Entry("with a MAC", "-mac 02:00:00:00:00:2a"),
		Entry("with ports", "-publish 8080:80 -publish 5000-5001:53/udp"),
		Entry("with another kind of bridge", "-nat=false -allowInbound -isolated"),
		Entry("unchecked", "-spoofCheck=false"),
	)

	DescribeTable("is checked: what was changed by hand, and what mends it", func(change string, lines ...string) {
		succeeds(execute(p.host, flags...))
		p.host.Sh(change)
		found := p.check("", flags...)
		Expect(found).To(Equal(lines))
		Expect(p.paste(found)).To(BeEmpty())
		Expect(p.check("", flags...)).To(BeEmpty())
		Eventually(p.container.Pings).WithArguments("fd10::1").WithTimeout(5 * time.Second).Should(BeTrue())
	},
		Entry("the bridge's IPv6 address", "ip address delete fd10::1/64 dev brg0",
			"address of brg0 is [10.10.10.1/24], asked for is fd10::1/64; to mend it: ip address add fd10::1/64 nodad dev brg0"),
		Entry("the container's IPv6 address", "ip -netns blue address delete fd10::2/64 dev veth1; ip -netns blue -6 route replace default via fd10::1 dev veth1 proto static onlink",
			"address of veth1 in the container is [10.10.10.2/24], asked for is fd10::2/64; to mend it: ip -netns blue address add fd10::2/64 nodad dev veth1"),
		Entry("the IPv6 default route", "ip -netns blue -6 route delete default",
			"route ::/0 via fd10::1 of the container is missing; to mend it: ip -netns blue -6 route replace default via fd10::1 dev veth1 proto static"),
		Entry("the lease", "ip link property del dev veth0 altname netsetgo:a:4000:brg0:fd10::2",
			"lease of veth0 is missing; to mend it: netsetgo down -netns=blue; netsetgo up -netns=blue -bridgeAddress=10.10.10.1/24,fd10::1/64"),
	)

	DescribeTable("is taken down, and nothing is left", func(made, how string) {
		container := p.host.NewContainer()
		p.host.Sh(uplinks)
		before := p.host.State()
		up(p.host, container, append(strings.Fields(made), "-id", "web", "-publish", "8080:80")...)
		words := strings.Fields(strings.ReplaceAll(how, "PID", strconv.Itoa(container.Pid)))
		succeeds(execute(p.host, append([]string{"down"}, words...)...))
		stays(&p.host.Process, before)
		Expect(links(&container.Process)).To(HaveLen(1))
	},
		Entry("by a pid", dualStack, "-pid PID"), Entry("by an id", dualStack, "-id web"),
		Entry("by the whole line", dualStack, "-pid PID"+dualStack+" -nat=false -publish 9:9"),
		Entry("of IPv6 alone", "-bridgeAddress fd10::1/64", "-id web"),
	)

	It("that ended by itself leaves ports for down to sweep, and no other's", func() {
		ended, lives := p.host.NewContainer(), p.host.NewContainer()
		up(p.host, ended, append(strings.Fields(dualStack), "-publish", "8080:80", "-publish", "53:53/udp")...)
		up(p.host, lives, append(strings.Fields(dualStack), "-publish", "8081:80")...)
		ended.Kill()
		Eventually(func() string { return p.host.Must("ip", "link") }).WithTimeout(5 * time.Second).ShouldNot(ContainSubstring(":tcp:8080:"))
		succeeds(execute(p.host, "down", "-id", "any"))
		rules := p.host.Must("nft", "list", "table", "inet", "netsetgo")
		Expect(rules).To(And(ContainSubstring("tcp . 8081 : 10.10.10.3 . 80"), ContainSubstring("tcp . 8081 : fd10::3 . 80")))
		Expect(rules).NotTo(MatchRegexp(`8080|10\.10\.10\.2\b|fd10::2\b|udp . 53`))
		down(p.host, lives)
		Expect(p.host.Must("nft", "list", "ruleset")).To(BeEmpty())
	})

	It("on three bridges that are idle at once is swept whole", func() {
		p.host.Sh(uplinks)
		before := p.host.State()
		for _, more := range []string{dualStack, " -bridgeName lab0 -bridgeAddress 10.20.0.1/24,fd20::1/64", " -bridgeName lab1 -bridgeAddress fd30::1/64"} {
			container := p.host.NewContainer()
			up(p.host, container, strings.Fields(more)...)
			container.Kill()
		}
		vanishes(p.host)
		succeeds(execute(p.host, "down", "-id", "any"))
		stays(&p.host.Process, before)
	})
})
