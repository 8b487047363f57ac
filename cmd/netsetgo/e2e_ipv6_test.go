package main_test

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// soon is the time until a program on a node has made a connection.
func soon(node *testnet.Process, to string) time.Duration {
	GinkgoHelper()
	began := time.Now()
	Expect(node.In(func() error {
		dialer := net.Dialer{Timeout: 5 * time.Second}
		conn, err := dialer.DialContext(context.Background(), "tcp6", to)
		if err != nil {
			return err
		}
		return conn.Close()
	})).To(Succeed())
	return time.Since(began)
}

var _ = Describe("IPv6", Label("root"), func() {
	var w world
	BeforeEach(func() { w = newWorld("a1", "a2", "b1") })

	// To look whether an address is used already takes a second or two (RFC 4862 section
	// 5.4): netsetgo has leased it.
	DescribeTable("is usable at once", func(others ...string) {
		w.upAll(others)
		w.Serve("internet", "tcp", mustAddrPort("[2001:db8:ffff::1]:7000"))
		w.Serve("host", "tcp", mustAddrPort("[2001:db8:1::1]:7000"))
		var times []time.Duration
		for range 5 {
			succeeds(execute(w.Host, flags("a1")...))
			times = append(times, soon(w.Nodes["a1"], "[2001:db8:ffff::1]:7000"))
			Expect(soon(w.Nodes["a1"], "[2001:db8:1::1]:7000")).To(BeNumerically("<", 500*time.Millisecond*testnet.Slow))
			w.down("a1")
		}
		slices.Sort(times)
		Expect(times[len(times)-1]).To(BeNumerically("<", 500*time.Millisecond*testnet.Slow), "%s", times)
		Expect(times[len(times)/2]).To(BeNumerically("<", 50*time.Millisecond*testnet.Slow), "%s", times)
	},
		Entry("by the first port of a bridge"),
		Entry("by a later one", "a2"),
	)

	It("reaches containers at once as well", func() {
		w.up("a2")
		for range 20 {
			succeeds(execute(w.Host, flags("a1")...))
			w.Serve("a1", "tcp", mustAddrPort("[fd10::2]:7000"))
			Expect(soon(&w.Host.Process, "[fd10::2]:7000")).To(BeNumerically("<", 500*time.Millisecond*testnet.Slow))
			w.down("a1")
		}
	})

	It("may be all there is", func() {
		before := w.Host.State()
		only := func(name, bridge string, more ...string) {
			GinkgoHelper()
			succeeds(execute(w.Host, append([]string{
				"-netns", name, "-containerInterface", "eth0", "-bridgeName", bridge, "-bridgeAddress", v6(bridge) + "/64",
			}, more...)...))
		}
		only("a1", "brg0", published("8080:80")...)
		only("a2", "brg0")
		only("b1", "brg1")
		Expect(links(w.Nodes["a1"])["eth0"].prefixes()).To(Equal([]string{"fd10::2/64"}))
		w.Check(`
			a1 -> internet at internet as uplink 6
			a1 -> a2 at a2 as a1 6
			a1 -> b1 never at b1 6
			lan -> a1 never at a1 6
			lan -> uplink:8080 at a1:80 as lan 6
			host -> a1 at a1 as brg0 6
			b1 -> uplink:8080 at a1:80 6
		`)
		for _, name := range []string{"a1", "a2", "b1"} {
			w.down(name)
		}
		w.isAsBefore(before)
	})

	It("has the number of the container's IPv4 address, where that is free", func() {
		connect := func(name, addresses string) []string {
			GinkgoHelper()
			flags := []string{"-netns", name, "-containerInterface", "eth0", "-bridgeAddress", "10.10.10.1/24,fd10::1/64"}
			if addresses != "" {
				flags = append(flags, "-containerAddress", addresses)
			}
			succeeds(execute(w.Host, flags...))
			return links(w.Nodes[name])["eth0"].prefixes()
		}
		Expect(connect("a1", "10.10.10.7")).To(ContainElements("10.10.10.7/24", "fd10::7/64"))
		Expect(connect("a2", "10.10.10.20,fd10::8")).To(ContainElements("10.10.10.20/24", "fd10::8/64"))
		Expect(connect("b1", "10.10.10.8")).To(ConsistOf("10.10.10.8/24", And(HavePrefix("fd10::"), Not(Equal("fd10::8/64")))))
	})
})

// router is radvd, which tells the host by its uplink of a default route for half a minute,
// every three or four seconds (its least).
const router = `
interface eth0 {
	AdvSendAdvert on;
	MinRtrAdvInterval 3;
	MaxRtrAdvInterval 4;
	AdvDefaultLifetime 30;
	prefix 2001:db8:1::/64 { AdvOnLink on; AdvAutonomous on; AdvValidLifetime 120; AdvPreferredLifetime 60; };
};
`

// expires are the seconds that the host's default route has left, 0 where there is none.
func expires(w world) int {
	GinkgoHelper()
	found := regexp.MustCompile(`proto ra .*expires (\d+)sec`).FindStringSubmatch(w.Host.Must("ip", "-6", "route", "show", "default", "dev", "eth0"))
	if found == nil {
		return 0
	}
	seconds, err := strconv.Atoi(found[1])
	Expect(err).NotTo(HaveOccurred())
	return seconds
}

var _ = Describe("an uplink that a router tells of", Label("root"), func() {
	It("keeps its default route, and goes on hearing of it", Label("kernels"), func() {
		w := newWorld("a1", "b1")
		w.Host.Sh("ip -6 route delete default; ip -6 address delete 2001:db8:1::1/64 dev eth0")
		w.Nodes["internet"].Sh("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; cat >/run/radvd.conf <<-END\n" + router + "\nEND")
		radvd(w)
		Eventually(func() int { return expires(w) }).WithTimeout(10 * time.Second).Should(BeNumerically(">", 0))
		var own string
		Eventually(func() string {
			own = strings.TrimSpace(w.Host.Sh(`ip -6 -oneline address show dev eth0 scope global -tentative | sed -n 's|.* inet6 \(2001[^/]*\)/.*|\1|p'`))
			return own
		}).WithTimeout(10 * time.Second).ShouldNot(BeEmpty())
		before := settings(w)
		w.up("a1")
		w.up("b1")
		w.Check(fmt.Sprintf("a1 -> internet at internet as %s 6\n host -> internet at internet as %s 6", own, own))
		for range 2 { // advertisements that came while the host forwards
			least := expires(w)
			Expect(least).To(BeNumerically(">", 0))
			Eventually(func() bool {
				now := expires(w)
				least = min(least, now)
				return now > least
			}).WithTimeout(20 * time.Second).WithPolling(200 * time.Millisecond).Should(BeTrue())
		}
		w.Check(fmt.Sprintf("a1 -> internet at internet as %s 6", own))
		w.down("a1")
		w.down("b1")
		Expect(expires(w)).To(BeNumerically(">", 0))
		Expect(settings(w)).To(Equal(before))
		w.Check(fmt.Sprintf("host -> internet at internet as %s 6", own))
	})
})

// settings are the sysctls of the uplink that the kernel's routing depends on. Before Linux
// 6.17 there is no force_forwarding.
func settings(w world) string {
	GinkgoHelper()
	return w.Host.Sh("cd /proc/sys/net/ipv6/conf; for i in all default eth0; do grep -s . $i/forwarding $i/force_forwarding $i/accept_ra || true; done")
}

// radvd plays the router where the internet is, until the spec ends.
func radvd(w world) {
	GinkgoHelper()
	cmd := w.Nodes["internet"].Command("radvd", "-C", "/run/radvd.conf", "-n", "-m", "stderr", "-p", "/run/radvd.pid")
	cmd.Stderr = GinkgoWriter
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func(cmd *exec.Cmd) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}, cmd)
}
