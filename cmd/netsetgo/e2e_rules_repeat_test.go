package main_test

import (
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
	"github.com/netsetgo/netsetgo/configurer/lease"
)

// checkedRule is everyRule, but that the bridge doesn't learn what the container sends,
// which changes the state by itself.
var checkedRule = strings.Replace(everyRule, " -spoofCheck=false", "", 1)

var _ = Describe("the same run again, with rules", Label("root"), func() {
	DescribeTable("changes nothing", func(prepare func(scene), line string) {
		s := newScene(prepare)
		succeeds(s.run(line))
		before, files := s.state(), s.files()
		for range 2 {
			succeeds(s.run(line))
		}
		Expect(testnet.Changes(before, s.state())).To(BeEmpty())
		Expect(s.files()).To(Equal(files))
	},
		Entry("with the defaults", nil, "-pid PID"),
		Entry("with all flags", nil, checkedRule),
		Entry("with all flags, as a hook", nil, strings.Replace(checkedRule, "-pid PID -id web", "", 1)+" "+created),
		Entry("with two families and uplinks", onTheHost(uplinks), "-pid PID"+dualStack),
		Entry("beside another bridge", withAnotherBridge, checkedRule),
		Entry("on somebody else's bridge", onTheHost(foreignBridge), "-pid PID"),
	)

	DescribeTable("but with fewer flags changes nothing either", func(fewer string) {
		s := newScene(nil)
		succeeds(s.run(checkedRule))
		before := s.state()
		succeeds(s.run("-pid PID" + fewer))
		Expect(testnet.Changes(before, s.state())).To(BeEmpty())
	},
		Entry("none", ""), Entry("one of the ports", " -publish 8080:80/tcp"), Entry("one of the families", " -bridgeAddress fd10::1/64"),
		Entry("one of the bridge's", " -nat=false"),
	)

	DescribeTable("but with other flags is refused, and says what differs", func(first, second string, differences ...string) {
		s := newScene(nil)
		succeeds(s.run("-pid PID " + first))
		before := s.state()
		Expect(fails(s.run("-pid PID "+second), 1)).To(Equal("netsetgo: connecting veth1: it is connected already, otherwise than asked: " +
			strings.Join(differences, "; ") + "; take it down first (netsetgo down)"))
		Expect(testnet.Changes(before, s.state())).To(BeEmpty())
	},
		Entry("-nat=false", "", "-nat=false", "nat is true, asked for is false"),
		Entry("-nat", "-nat=false", "-nat", "nat is false, asked for is true"),
		Entry("-allowInbound", "", "-allowInbound", "allowInbound is false, asked for is true"),
		Entry("-allowInbound=false", "-allowInbound", "-allowInbound=false", "allowInbound is true, asked for is false"),
		Entry("-isolated", "", "-isolated", "isolated is false, asked for is true"),
		Entry("-isolated=false", "-isolated", "-isolated=false", "isolated is true, asked for is false"),
		Entry("-spoofCheck=false", "", "-spoofCheck=false", "spoofCheck is true, asked for is false"),
		Entry("-spoofCheck", "-spoofCheck=false", "-spoofCheck", "spoofCheck is false, asked for is true"),
		Entry("-publish", "", "-publish 8080:80", "publish is none, asked for is 8080:80/tcp"),
		Entry("another -publish", "-publish 8080:80", "-publish 8080:80 -publish 8080:80/udp", "publish is [8080:80/tcp], asked for is 8080:80/udp"),
		Entry("another family", "", "-bridgeAddress 10.10.10.1/24,fd10::1/64", "bridgeAddress is [10.10.10.1/24], asked for is fd10::1/64"),
		Entry("all of the bridge's", "", "-nat=false -allowInbound -isolated -spoofCheck=false",
			"nat is true, asked for is false", "allowInbound is false, asked for is true", "isolated is false, asked for is true", "spoofCheck is true, asked for is false"),
	)
})

var _ = Describe("a second container on a bridge", Label("root"), func() {
	DescribeTable("is refused where it asks for another kind of bridge", func(first, second, says string) {
		s := newScene(nil)
		up(s.host, s.host.NewContainer(), strings.Fields(first)...)
		before := s.state()
		Expect(fails(s.run("-pid PID "+second), 1)).To(Equal(
			fmt.Sprintf("netsetgo: connecting to bridge brg0: it was made with -%s, which its containers rely on; leave the flag out, or choose another -bridgeName", says)))
		Expect(testnet.Changes(before, s.state())).To(BeEmpty())
		succeeds(s.run("-pid PID"))
	},
		Entry("-nat=false", "", "-nat=false", "nat=true"),
		Entry("-nat", "-nat=false", "-nat", "nat=false"),
		Entry("-allowInbound", "", "-allowInbound", "allowInbound=false"),
		Entry("-allowInbound=false", "-allowInbound", "-allowInbound=false", "allowInbound=true"),
		Entry("-isolated", "", "-isolated", "isolated=false"),
		Entry("-isolated=false", "-isolated", "-isolated=false", "isolated=true"),
	)

	It("is on it as the first one was, without those flags", func() {
		host := testnet.NewHost()
		one, two, three := host.NewContainer(), host.NewContainer(), host.NewContainer()
		up(host, one, "-isolated", "-allowInbound", "-nat=false")
		up(host, two)
		Expect(links(&host.Process)["brg0"].Alias).To(HaveSuffix(" policy=open,isolated"))
		Expect(strings.Count(host.Must("bridge", "-details", "link"), "isolated on")).To(Equal(2))
		Expect(two.Pings(address(one, "veth1"))).To(BeFalse())
		Expect(two.Pings("10.10.10.1")).To(BeTrue())

		By("each for itself: what the container may send")
		up(host, three, "-spoofCheck=false")
		Expect(strings.Count(host.Must("bridge", "-details", "link"), "learning off")).To(Equal(2))
		down(host, three)
		down(host, one)
		down(host, two)
		Expect(host.Must("nft", "list", "ruleset")).To(BeEmpty())
	})

	DescribeTable("of somebody else's is refused where it asks how that is", func(flag string) {
		s := newScene(onTheHost(foreignBridge))
		before := s.state()
		name, _, _ := strings.Cut(strings.Fields(flag)[0], "=")
		Expect(fails(s.run("-pid PID "+flag), 1)).To(Equal("netsetgo: connecting to bridge brg0: it isn't netsetgo's, who made it says what it is like; leave " +
			name + " out, or choose another -bridgeName"))
		Expect(testnet.Changes(before, s.state())).To(BeEmpty())
	},
		Entry(nil, "-nat"), Entry(nil, "-allowInbound"), Entry(nil, "-allowInbound=false"), Entry(nil, "-isolated"), Entry(nil, "-publish 80:80"),
	)
})

// Alone, for many wait for one lock, and none longer than -timeout.
var _ = Describe("many runs at once, with rules", Label("root"), Serial, func() {
	// published are the elements of published ports.
	published := func(host *testnet.Host) int {
		GinkgoHelper()
		return strings.Count(host.Must("nft", "list", "map", "inet", "netsetgo", "ports4"), "tcp . ")
	}

	It("publish a port each, on bridges that come and go", func() {
		const containers = 30
		host := testnet.NewHost()
		host.Sh(uplinks)
		makeNamespaces(host, containers)
		before := host.State()
		for range 2 {
			// Three bridges: each is the first and the last of its own.
			atOnce(host, each(1, 10, "-netns c% -publish 80%:80"))
			var lines []string
			for i := 11; i <= containers; i++ {
				lines = append(lines, fmt.Sprintf("%s -netns c%d -bridgeName b%d -bridgeAddress 10.20.%d.1/24,fd%d::1/64 -publish 80%d:80", binary, i, i%2, i%2, 20+i%2, i))
			}
			atOnce(host, lines)
			Expect(published(host)).To(Equal(containers))
			Expect(strings.Count(host.Must("nft", "list", "set", "bridge", "netsetgo", "senders4"), "6e:")).To(Equal(containers))
			atOnce(host, append(each(1, 15, "down -netns c%"), each(16, 20, "-netns c%")...))
			Expect(published(host)).To(Equal(15))
			atOnce(host, each(1, containers, "down -netns c%"))
			stays(&host.Process, before)
		}
	})

	It("give a port to one of them", func() {
		const containers = 20
		host := testnet.NewHost()
		makeNamespaces(host, containers)
		before := host.State()
		script := ""
		for _, line := range each(1, containers, "-netns c% -id box% -publish 8080:80") {
			script += fmt.Sprintf("%s 2>&1 & ", line)
		}
		said := strings.Split(strings.TrimSpace(host.Sh(script+"wait")), "\n")
		Expect(said).To(And(HaveLen(containers-1), HaveEach(HavePrefix("netsetgo: publishing port 8080:80/tcp: "))))
		Expect(published(host)).To(Equal(1))
		var winner int
		for i := 1; i <= containers; i++ {
			if strings.Contains(host.Must("ip", "link"), lease.IDName("veth1", "box"+strconv.Itoa(i))+"\n") {
				winner = i
			}
		}
		Expect(winner).NotTo(BeZero())
		atOnce(host, each(winner, winner, "down -netns c%"))
		stays(&host.Process, before)
	})
})
