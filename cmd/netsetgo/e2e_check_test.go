package main_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("the verb check", Label("root"), func() {
	var p place
	var pid string
	BeforeEach(func() {
		p = newPlace()
		pid = strconv.Itoa(p.container.Pid)
	})

	DescribeTable("finds nothing to say behind up with the same flags", func(flags string) {
		arguments := strings.Fields(strings.ReplaceAll(flags, "PID", pid))
		succeeds(execute(p.host, arguments...))
		Expect(p.check("", arguments...)).To(BeEmpty())
	},
		Entry("of the target only", "-pid PID"),
		Entry("that name a namespace", "-netns blue"),
		Entry("that name a namespace by a path", "-netns /run/netns/blue"),
		Entry("that name an address", "-pid PID -containerAddress 10.10.10.77/24"),
		Entry("that name a bridge and its subnet", "-pid PID -bridgeName tower.7 -bridgeAddress 192.168.7.6/29"),
		Entry("that name a prefix", "-pid PID -vethNamePrefix eleven.byte"),
		Entry("that name an interface and an id", "-pid PID -containerInterface eth0 -id web:8080"),
		Entry("that name a long id", "-pid PID -id "+strings.Repeat("x", 300)),
		Entry("that name the least MTU", "-pid PID -mtu 68"),
		Entry("that name the greatest MTU", "-pid PID -mtu 65535"),
		Entry("that name a MAC", "-pid PID -mac 02:00:00:00:00:2A"),
		Entry("that name routes",
			"-pid PID -route 192.168.0.0/16 -route 172.16.0.0/12,via=10.10.10.9 -route 10.20.0.0/16,metric=50 -route 10.20.0.0/16,via=10.10.10.9,metric=4294967295"),
		Entry("that name a default route", "-pid PID -defaultRoute"),
		Entry("that name no default route", "-pid PID -defaultRoute=false"),
		Entry("that name a default route of another kind", "-pid PID -defaultRoute=false -route 0.0.0.0/0,metric=5"),
		Entry("of up alone", "-pid PID -timeout 9s -v=false"),
	)

	It("finds nothing to say for each of several interfaces and containers", func() {
		other := p.host.NewContainer()
		// The bridge can't tell: its MTU follows the least of its ports'.
		p.host.Sh(`
			ip link add uplink mtu 1410 type veth peer name beyond
			ip link set uplink addrgenmode none; ip link set beyond addrgenmode none
			ip link set uplink up; ip link set beyond up
			ip address add 198.51.100.2/24 dev uplink; ip route add default via 198.51.100.1
		`)
		second := []string{"-netns", "blue", "-containerInterface", "eth1", "-bridgeName", "lab", "-bridgeAddress", "10.20.0.1/16", "-defaultRoute=false"}
		small := []string{"-pid", strconv.Itoa(other.Pid), "-mtu", "1300"}
		for _, flags := range [][]string{{"-netns", "blue"}, second, small} {
			succeeds(execute(p.host, flags...))
		}
		Expect(p.check("", "-netns", "blue")).To(BeEmpty())
		Expect(p.check("", second...)).To(BeEmpty())
		Expect(p.check("", small...)).To(BeEmpty())
	})

	DescribeTable("compares what is there with other flags, and defaults", func(made, asked string, lines ...string) {
		succeeds(execute(p.host, append([]string{"-netns", "blue"}, strings.Fields(made)...)...))
		for i := range lines {
			lines[i] = strings.ReplaceAll(lines[i], "ANEW", strings.TrimSpace("netsetgo down -netns=blue; netsetgo up -netns=blue "+asked))
		}
		Expect(p.check("", append([]string{"-netns", "blue"}, strings.Fields(asked)...)...)).To(Equal(withMACs(lines)))
	},
		Entry("an MTU", "", "-mtu=1400",
			"MTU of veth0 is 1500, asked for is 1400; to mend it: ip link set dev veth0 mtu 1400",
			"MTU of veth1 in the container is 1500, asked for is 1400; to mend it: ip -netns blue link set dev veth1 mtu 1400"),
		Entry("a MAC", "", "-mac=02:00:00:00:00:2a",
			"MAC of veth1 in the container is 6e:73:0a:0a:0a:02, asked for is 02:00:00:00:00:2a; to mend it: ip -netns blue link set dev veth1 address 02:00:00:00:00:2a",
			"MAC known of port veth0 is missing; to mend it: bridge fdb replace 02:00:00:00:00:2a dev veth0 master static",
			"element of senders4 is missing; to mend it: nft 'add element bridge netsetgo senders4 { 02:00:00:00:00:2a . 10.10.10.2 }'"),
		Entry("the default of a MAC", "-mac=02:00:00:00:00:2a", "",
			"MAC of veth1 in the container is 02:00:00:00:00:2a, asked for is 6e:73:0a:0a:0a:02; to mend it: ip -netns blue link set dev veth1 address 6e:73:0a:0a:0a:02",
			macLost,
			"element of senders4 is missing; to mend it: nft 'add element bridge netsetgo senders4 { 6e:73:0a:0a:0a:02 . 10.10.10.2 }'"),
		Entry("the default of an address, which is the one leased", "-containerAddress=10.10.10.77", ""),
		Entry("an id", "-id=other", "-id=web",
			`id of veth0 is "other", asked for is "web"; to mend it: netsetgo down -netns=blue -id=web; netsetgo up -netns=blue -id=web`),
		Entry("an id where there was none", "", "-id=web",
			"name netsetgo:c:ef2b:veth1:web of veth0 is missing; to mend it: ip link property add dev veth0 altname netsetgo:c:ef2b:veth1:web"),
		Entry("an address", "", "-containerAddress=10.10.10.9",
			"lease of veth0 is 10.10.10.2, asked for is 10.10.10.9; to mend it: ANEW",
			"MAC of veth1 in the container is 6e:73:0a:0a:0a:02, asked for is 6e:73:0a:0a:0a:09; to mend it: ANEW",
			"address of veth1 in the container is [10.10.10.2/24], asked for is 10.10.10.9/24; to mend it: ANEW",
			"MAC known of port veth0 is missing; to mend it: ANEW",
			"element of senders4 is missing; to mend it: ANEW"),
		Entry("the default of an id, which is any", "-id=other", ""),
		Entry("a route", "-route=192.168.0.0/16", "-route=192.168.0.0/16,metric=5",
			"route 192.168.0.0/16 via 10.10.10.1 metric 5 of the container is missing; to mend it: ip -netns blue route replace 192.168.0.0/16 via 10.10.10.1 dev veth1 proto static metric 5"),
		Entry("the default of routes, beside which others may be", "-route=192.168.0.0/16", ""),
		Entry("no default route", "", "-defaultRoute=false",
			"route 0.0.0.0/0 via 10.10.10.1 of the container is present, asked for is none; to mend it: ip -netns blue route delete default via 10.10.10.1 dev veth1"),
		Entry("the default of the default route", "-defaultRoute=false", "",
			"route 0.0.0.0/0 via 10.10.10.1 of the container is missing; to mend it: ip -netns blue route replace default via 10.10.10.1 dev veth1 proto static"),
		Entry("a bridge", "", "-bridgeName=lab", "bridge lab is missing; to mend it: ANEW", "lease of veth0 is one of brg0, asked for is one of lab; to mend it: ANEW"),
		Entry("the default of the bridge", "-bridgeName=lab", "", "bridge brg0 is missing; to mend it: ANEW",
			"lease of veth0 is one of lab, asked for is one of brg0; to mend it: ANEW"),
		Entry("an interface", "", "-containerInterface=eth0",
			"attachment of eth0 is missing; to mend it: netsetgo down -netns=blue -containerInterface=eth0; netsetgo up -netns=blue -containerInterface=eth0"),
		Entry("the default of the interface", "-containerInterface=eth0", "", "attachment of veth1 is missing; to mend it: ANEW"),
		Entry("the default of the prefix", "-vethNamePrefix=lan", "-containerInterface=lan1",
			"name of the host link is lan0, asked for is veth and a number; to mend it: netsetgo down -netns=blue -containerInterface=lan1; netsetgo up -netns=blue -containerInterface=lan1"),
	)

	It("mends what is asked for otherwise, and leaves nothing of what was there", func() {
		succeeds(execute(p.host, "-netns", "blue", "-id", "other", "-containerAddress", "10.10.10.7"))
		asked := []string{"-netns", "blue", "-id", "web", "-bridgeName", "lab", "-bridgeAddress", "10.20.0.1/16"}
		Expect(p.paste(p.check("", asked...))).To(BeEmpty())
		Expect(p.check("", asked...)).To(BeEmpty())
		Expect(p.host.Must("ip", "link")).NotTo(Or(ContainSubstring("brg0"), ContainSubstring("10.10.10"), ContainSubstring("other")))
		Expect(links(&p.container.Process)["veth1"].prefixes()).To(Equal([]string{"10.20.0.2/16"}))
	})

	It("leaves it to others how their bridge is reached", func() {
		p.host.Sh("ip link add br9 type bridge; ip link set br9 addrgenmode none; ip address add 10.10.10.1/24 dev br9 noprefixroute; ip link set br9 up")
		succeeds(execute(p.host, "-netns", "blue", "-bridgeName", "br9"))
		Expect(p.check("", "-netns", "blue", "-bridgeName", "br9")).To(BeEmpty())
	})

	It("doesn't take the MTU of a bridge that follows its ports for what was asked for", func() {
		p.host.Sh("ip netns add red")
		succeeds(execute(p.host, "-netns", "blue"))
		succeeds(execute(p.host, "-netns", "red", "-mtu", "1280"))
		Expect(p.check("", "-netns", "blue")).To(BeEmpty())
		p.host.Sh("ip link set dev veth0 mtu 1300")
		Expect(p.check("", "-netns", "blue")).To(Equal([]string{"MTU of veth0 is 1300, asked for is 1500; to mend it: ip link set dev veth0 mtu 1500"}))
	})

	DescribeTable("of what isn't attached", func(change string) {
		p.host.Sh(strings.NewReplacer("PID", pid, "NETSETGO", binary).Replace(change))
		Expect(p.check("", "-pid", pid, "-id", "a'b", "-log", "/dev/null")).To(Equal([]string{fmt.Sprintf(
			`attachment of veth1 is missing; to mend it: netsetgo down -pid=%[1]s '-id=a'\''b'; netsetgo up -pid=%[1]s '-id=a'\''b'`, pid)}))
	},
		Entry("says so, and makes no lock", "true"),
		Entry("says so where somebody else has the name", "ip link add veth0 type veth peer name veth1 netns PID"),
		Entry("says so where another container has the id", "ip netns add red; NETSETGO -netns red -id a\\'b"),
	)

	It("is a hook too", func() {
		created := ociState("web", "created", p.container.Pid)
		succeeds(p.host.RunWith(created, binary, "-containerInterface", "eth0"))
		Expect(p.check(created, "-containerInterface", "eth0")).To(BeEmpty())
		p.container.Sh("ip link set dev lo down; ip link set dev eth0 mtu 1300")
		found := p.check(created, "-containerInterface", "eth0")
		enter := "nsenter --net=/proc/" + pid + "/ns/net "
		Expect(found).To(Equal([]string{
			"state of lo in the container is down, asked for is up; to mend it: " + enter + "ip link set dev lo up",
			"MTU of eth0 in the container is 1300, asked for is 1500; to mend it: " + enter + "ip link set dev eth0 mtu 1500",
		}))
		Expect(p.paste(found)).To(BeEmpty())
		Expect(p.check(created, "-containerInterface", "eth0")).To(BeEmpty())

		Expect(fails(p.host.RunWith(ociState("web", "stopped", 0), binary, "check"), 1)).To(ContainSubstring("has stopped"))
		Expect(fails(p.host.RunWith(ociState("web", "paused", p.container.Pid), binary, "check"), 1)).To(ContainSubstring(`its status is "paused"`))
	})

	DescribeTable("fails without a target", func(flags, says string) {
		up(p.host, p.container)
		ended := p.host.NewContainer()
		ended.Kill()
		flags = strings.NewReplacer("ENDED", strconv.Itoa(ended.Pid), "OWN", strconv.Itoa(p.host.Pid)).Replace(flags)
		settleCarriers(&p.container.Process)
		settleCarriers(&p.host.Process)
		hostBefore, containerBefore := p.host.State(), p.container.State()
		Expect(fails(execute(p.host, append([]string{"check"}, strings.Fields(flags)...)...), 1)).To(ContainSubstring(says))
		stays(&p.host.Process, hostBefore)
		stays(&p.container.Process, containerBefore)
	},
		Entry("that lives", "-pid ENDED", "there is no such process, or it has ended"),
		Entry("that lives, also for JSON", "-pid ENDED -output json", "there is no such process, or it has ended"),
		Entry("that isn't the host itself", "-pid OWN", "it is netsetgo's own, that of the host"),
		Entry("that has a name", "-netns none", `no such network namespace: there is no file "/run/netns/none"`),
		Entry("that is a namespace", "-netns /dev/null", "this file isn't a network namespace"),
	)

	It("waits for no lock", func() {
		up(p.host, p.container)
		holdLock(p.host)
		Expect(p.check("", "-pid", pid)).To(BeEmpty())
	})

	It("finds what a killed run left, at a third of its calls, and mends it", Label("long"), func() {
		for n := firstOfThird(); ; n += 3 {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("message %d", n))
			_, hit := interfere(p.host, "sendto", fmt.Sprintf("signal=KILL:when=%d", n), "-pid", pid)
			result := execute(p.host, "check", "-pid", pid)
			Expect(result.Stderr).To(BeEmpty())
			if !hit {
				succeeds(result)
				break
			}
			Expect(result.Code).To(Or(Equal(0), Equal(3)))
			p.paste(slices.Collect(strings.Lines(result.Stdout)))
			succeeds(execute(p.host, "check", "-pid", pid))
			down(p.host, p.container)
		}
	})

	It("shows a terminal no escape of a container's", func() {
		up(p.host, p.container, "-defaultRoute=false")
		p.container.Sh(`ip link set dev veth1 down; ip link set dev veth1 name "$(printf '\033[31m')" up`)
		found := p.check("", "-pid", pid, "-defaultRoute=false")
		Expect(found).To(HaveLen(1))
		Expect(found[0]).To(HavePrefix("name of veth1 in the container is \uFFFD[31m, asked for is veth1"))
		Expect(p.paste(found)).To(BeEmpty())
		Expect(p.check("", "-pid", pid, "-defaultRoute=false")).To(BeEmpty())
	})
})

// withMACs adds to lines of check what it says as well where ports can't be locked: of the
// rule's element that sees to it there.
func withMACs(lines []string) []string {
	all := []string{}
	sender := regexp.MustCompile(`senders4 \{ (\S+) \. \S+ \}`)
	for _, line := range lines {
		all = append(all, line)
		if strings.HasPrefix(line, "element of senders4 is missing") && !testnet.LocksPorts() {
			line = strings.Replace(line, "senders4", "macs", 1)
			all = append(all, sender.ReplaceAllString(line, `macs { "veth0" . $1 }`))
		}
	}
	return all
}
