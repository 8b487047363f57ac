package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// makeNamespaces makes n namespaces of `ip netns`, c1 to cn.
func makeNamespaces(host *testnet.Host, n int) {
	GinkgoHelper()
	host.Sh(fmt.Sprintf("for i in $(seq %d); do echo netns add c$i; done | ip -batch -", n))
}

// atOnce runs lines of a shell all at once. Each has to succeed and to say nothing.
func atOnce(host *testnet.Host, lines []string) {
	GinkgoHelper()
	script := ""
	for _, line := range lines {
		if strings.HasPrefix(line, binary) && testnet.Slow > 1 {
			line += fmt.Sprintf(" -timeout %s", 10*time.Second*testnet.Slow) // they wait for each other
		}
		script += fmt.Sprintf("{ %s || echo '%s: exit status' $?; } 2>&1 &\n", line, strings.TrimPrefix(line, binary))
	}
	Expect(host.Sh(script + "wait")).To(BeEmpty())
}

// each is a line for every namespace from the first to the last.
func each(first, last int, format string) []string {
	var lines []string
	for i := first; i <= last; i++ {
		lines = append(lines, binary+" "+strings.ReplaceAll(format, "%", fmt.Sprint(i)))
	}
	return lines
}

// pings are lines in which each container asks the bridge for an answer. The broadcasts of a
// hundred at once, each to a hundred ports, may be more than the kernel queues
// (net.core.netdev_max_backlog): so not by one packet.
func pings(first, last int) []string {
	var lines []string
	count := 3
	if testnet.Slow > 1 {
		count = 10
	}
	for i := first; i <= last; i++ {
		lines = append(lines, fmt.Sprintf("ip netns exec c%d ping -q -c%d -i0.3 -W5 10.10.10.1 >/dev/null", i, count))
	}
	return lines
}

// addressesOf returns the IPv4 addresses of veth1 in namespaces.
func addressesOf(host *testnet.Host, first, last int) []string {
	GinkgoHelper()
	text := host.Sh(fmt.Sprintf("for i in $(seq %d %d); do ip -n c$i -json -4 address show dev veth1; done", first, last))
	var found []string
	for decoder := json.NewDecoder(strings.NewReader(text)); decoder.More(); {
		var list []link
		Expect(decoder.Decode(&list)).To(Succeed())
		for _, each := range list {
			found = append(found, each.prefixes()...)
		}
	}
	return found
}

// haveOneEach says that each of some containers has an address of its own, and that
// the host has as many leases and host links.
func haveOneEach(host *testnet.Host, first, last, others int) {
	GinkgoHelper()
	addresses := addressesOf(host, first, last)
	Expect(addresses).To(HaveLen(last - first + 1))
	different := map[string]bool{}
	for _, address := range addresses {
		different[address] = true
	}
	Expect(different).To(HaveLen(last-first+1), "two share an address")
	leases, ports := 0, 0
	for _, each := range links(&host.Process) {
		if each.Bridge == "brg0" {
			ports++
		}
		for _, name := range each.Altnames {
			if strings.HasPrefix(name, "netsetgo:a:") {
				leases++
			}
		}
	}
	Expect(ports).To(Equal(last - first + 1 + others))
	Expect(leases).To(Equal(ports))
}

var _ = Describe("many runs at once", Label("root"), func() {
	var host *testnet.Host
	BeforeEach(func() { host = testnet.NewHost() })

	It("connect a hundred containers on a new bridge, and let go of them", Label("long"), func() {
		const containers, rounds = 100, 3
		makeNamespaces(host, containers)
		before := host.State()
		for range rounds {
			atOnce(host, each(1, containers, "-netns c% -id box%"))
			haveOneEach(host, 1, containers, 0)
			Expect(links(&host.Process)["brg0"].prefixes()).To(Equal([]string{"10.10.10.1/24"}))
			atOnce(host, pings(1, containers))
			atOnce(host, each(1, containers, "down -netns c%"))
			Expect(host.State()).To(Equal(before))
		}
	})

	It("connect fifty while fifty others go, and the bridge stays for one", Label("long"), func() {
		const rounds = 2
		makeNamespaces(host, 101)
		before := host.State()
		atOnce(host, each(101, 101, "-netns c%"))
		bridge := links(&host.Process)["brg0"].Index
		atOnce(host, each(1, 50, "-netns c% -id box%"))
		for range rounds {
			for _, turn := range [][4]int{{51, 100, 1, 50}, {1, 50, 51, 100}} {
				ups, downs := each(turn[0], turn[1], "-netns c% -id box%"), each(turn[2], turn[3], "down -id box%")
				var lines []string
				for i := range ups {
					lines = append(lines, ups[i], downs[i])
				}
				atOnce(host, lines)
				haveOneEach(host, turn[0], turn[1], 1)
				Expect(links(&host.Process)["brg0"].Index).To(Equal(bridge), "it went while it was used")
				atOnce(host, append(pings(turn[0], turn[1]), pings(101, 101)...))
			}
		}
		atOnce(host, append(each(1, 50, "down -netns c%"), each(101, 101, "down -netns c%")...))
		Expect(host.State()).To(Equal(before))
	})

	It("connect and disconnect hundred without one that stays", Label("long"), func() {
		makeNamespaces(host, 100)
		before := host.State()
		for range 2 {
			atOnce(host, each(1, 50, "-netns c%"))
			lines := append(each(1, 50, "down -netns c%"), each(51, 100, "-netns c%")...)
			atOnce(host, lines)
			haveOneEach(host, 51, 100, 0)
			atOnce(host, pings(51, 100))
			atOnce(host, each(51, 100, "down -netns c%"))
			Expect(host.State()).To(Equal(before))
		}
	})

	It("use different bridges side by side", func() {
		makeNamespaces(host, 40)
		before := host.State()
		var lines []string
		for i := range 40 {
			lines = append(lines, each(i+1, i+1, fmt.Sprintf("-netns c%% -bridgeName b%d -bridgeAddress 10.10.%d.1/24", i%8, i%8))...)
		}
		atOnce(host, lines)
		addresses := addressesOf(host, 1, 40)
		different := map[string]bool{}
		for _, address := range addresses {
			different[address] = true
		}
		Expect(different).To(HaveLen(40))
		atOnce(host, each(1, 40, "down -netns c%"))
		Expect(host.State()).To(Equal(before))
	})

	It("for one container make one attachment", func() {
		makeNamespaces(host, 8)
		before := host.State()
		for i := 1; i <= 8; i++ {
			line := each(i, i, "-netns c%")
			atOnce(host, append(line, line...))
			haveOneEach(host, i, i, 0)
			atOnce(host, pings(i, i))
			lines := each(i, i, "down -netns c%")
			atOnce(host, append(lines, lines...))
			Expect(host.State()).To(Equal(before))
		}
	})

	// The last port of a bridge goes while another container comes: the bridge that the
	// one removes mustn't be the one that the other has just found.
	It("never lose the bridge between a last down and a first up", Label("long"), func() {
		makeNamespaces(host, 2)
		before := host.State()
		atOnce(host, each(1, 1, "-netns c%"))
		for round := range 20 {
			stays, goes := 2-round%2, 1+round%2
			atOnce(host, append(each(goes, goes, "down -netns c%"), each(stays, stays, "-netns c%")...))
			haveOneEach(host, stays, stays, 0)
			atOnce(host, pings(stays, stays))
		}
		atOnce(host, each(1, 2, "down -netns c%"))
		Expect(host.State()).To(Equal(before))
	})

	It("wait for the one that removes a bridge, and take it again", func() {
		makeNamespaces(host, 30)
		before := host.State()
		release := holdLock(host)
		done := make(chan string)
		go func() {
			defer GinkgoRecover()
			defer close(done)
			atOnce(host, each(1, 30, "-netns c%"))
		}()
		Consistently(done).WithTimeout(300 * time.Millisecond).ShouldNot(BeClosed())
		release()
		Eventually(done).WithTimeout(20 * time.Second).Should(BeClosed())
		haveOneEach(host, 1, 30, 0)
		atOnce(host, each(1, 30, "down -netns c%"))
		Expect(host.State()).To(Equal(before))
	})
})
