package main_test

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

var _ = Describe("the verb list, where things are odd", Label("root"), func() {
	var host *testnet.Host
	var container, other *testnet.Container
	BeforeEach(func() {
		host = testnet.NewHost()
		container, other = host.NewContainer(), host.NewContainer()
		up(host, container, "-id", "web")
		up(host, other, "-id", "other")
	})

	// usual is the line of an attachment, without its bytes.
	usual := func(change func(*listed)) map[string]listed {
		GinkgoHelper()
		want := listed{
			Container: "web", Interface: "veth1", Addresses: []string{"10.10.10.2"}, MAC: "6e:73:0a:0a:0a:02",
			Bridge: "brg0", HostLink: "veth0", State: "up",
		}
		change(&want)
		return map[string]listed{want.HostLink: want, "veth1": {
			Container: "other", Interface: "veth1", Addresses: []string{"10.10.10.3"}, MAC: "6e:73:0a:0a:0a:03",
			Bridge: "brg0", HostLink: "veth1", State: "up",
		}}
	}
	withoutBytes := func(list map[string]listed) map[string]listed {
		for name, each := range list {
			each.ReceivedBytes, each.SentBytes = 0, 0
			list[name] = each
		}
		return list
	}

	DescribeTable("shows an attachment by what netsetgo knows of it", func(onHost, inside string, change func(*listed)) {
		host.Sh(onHost)
		container.Sh(inside)
		settleCarriers(&host.Process)
		list, rows := withoutBytes(listOf(host)), rowsOf(host)
		Expect(list).To(Equal(usual(change)))
		Expect(rows).To(HaveLen(len(list)))
		for name, each := range list {
			if strings.Contains(each.Container, "\x1b") {
				each.Container = `"\x1b[31m"`
			}
			Expect(rows[name][:7]).To(Equal([]string{
				each.Container, each.Interface, each.Addresses[0], each.MAC, cmp.Or(each.Bridge, "-"), each.HostLink, each.State,
			}))
		}
	},
		Entry("with a name that the container chose for its interface", "",
			"ip link set dev veth1 down; ip link set dev veth1 name mine up", func(*listed) {}),
		Entry("with an escape in that name", "",
			`ip link set dev veth1 down; ip link set dev veth1 name "$(printf '\033[31m\302\233')" up`, func(*listed) {}),
		Entry("with a name that the container gave it as well", "",
			`ip link property add dev veth1 altname netsetgo:n:cbf7:fake:1; ip link property add dev veth1 altname netsetgo:c:ac24:fake:fake`, func(*listed) {}),
		Entry("with a MAC that the container chose", "",
			"ip link set dev veth1 address 02:00:00:00:00:07", func(l *listed) { l.MAC = "02:00:00:00:00:07" }),
		Entry("with an address that the container chose", "",
			"ip address flush dev veth1; ip address add 10.10.10.77/24 dev veth1", func(*listed) {}),
		Entry("with a host link that is off its bridge", "ip link set dev veth0 nomaster", "", func(l *listed) { l.Bridge = "" }),
		Entry("with a host link that is on another bridge", "ip link add name lab up type bridge; ip link set dev veth0 master lab", "",
			func(l *listed) { l.Bridge = "lab" }),
		Entry("with a host link that was renamed", "ip link set dev veth0 down; ip link set dev veth0 name mine; ip link set dev mine up", "",
			func(l *listed) { l.HostLink = "mine" }),
		Entry("with an escape in what says whose it is", `ip link property add dev veth0 altname "netsetgo:c:1b2f:veth1:$(printf '\033[31m')"`, "",
			func(l *listed) { l.Container = "\x1b[31m" }),
	)

	It("shows no MAC of a container with more names than fit into one answer", func() {
		var batch strings.Builder
		for i := range 496 {
			fmt.Fprintf(&batch, "link property add dev veth1 altname %s%03d\n", strings.Repeat("x", 124), i)
		}
		Expect(container.RunWith(batch.String(), "ip", "-batch", "-").Code).To(BeZero())
		Expect(withoutBytes(listOf(host))).To(Equal(usual(func(l *listed) { l.MAC = "" })))
		Expect(rowsOf(host)["veth0"][3]).To(Equal("-"))
	})

	It("shows an attachment whose interface the container moved away", func() {
		elsewhere := host.NewContainer()
		container.Sh(fmt.Sprintf("ip link set dev veth1 netns %d", elsewhere.Pid))
		settleCarriers(&host.Process)
		Expect(withoutBytes(listOf(host))).To(Equal(usual(func(l *listed) { l.State = "no carrier" })))
		elsewhere.Sh("ip link set dev veth1 address 02:00:00:00:00:07 up")
		settleCarriers(&host.Process)
		Expect(withoutBytes(listOf(host))).To(Equal(usual(func(l *listed) { l.MAC = "02:00:00:00:00:07" })))
		elsewhere.Kill()
		Eventually(func() map[string]listed { return listOf(host) }).WithTimeout(5 * time.Second).ShouldNot(HaveKey("veth0"))
	})

	DescribeTable("shows an id", func(id, shown, word string) {
		third := host.NewContainer()
		up(host, third, "-id", id)
		Expect(listOf(host)["veth2"].Container).To(MatchRegexp("^%s$", shown))
		rows := rowsOf(host)
		Expect(rows).To(HaveLen(3))
		Expect(rows["veth2"][0]).To(MatchRegexp("^%s$", word))
	},
		Entry("with colons", "web:8080:x", "web:8080:x", "web:8080:x"),
		Entry("with quotes", `it's"web"`, `it's"web"`, `"it's\\"web\\""`),
		Entry("with a backslash", `web\033`, `web\\033`, `web\\033`),
		Entry("of other alphabets", "café☕網", "café☕網", "café☕網"),
		Entry("that is a dash", "-", "-", `"-"`),
		Entry("that is long", strings.Repeat("x", 300), "x{70,}-[0-9a-f]{32}~", "x{70,}-[0-9a-f]{32}~"),
		Entry("that is long, of other alphabets", strings.Repeat("網", 300), "網{20,}-[0-9a-f]{32}~", "網{20,}-[0-9a-f]{32}~"),
	)

	It("changes nothing, waits for no lock, and makes none", func() {
		settleCarriers(&container.Process)
		settleCarriers(&host.Process)
		hostBefore, containerBefore := host.State(), container.State()
		host.Must("rm", "/run/netsetgo.lock")
		runBefore := inRun(host)
		list, rows := listOf(host), rowsOf(host)
		Expect(inRun(host)).To(Equal(runBefore))
		holdLock(host)
		runBefore = inRun(host)
		Expect(withoutBytes(listOf(host))).To(Equal(withoutBytes(list)))
		Expect(rowsOf(host)).To(HaveLen(len(rows)))
		Expect(inRun(host)).To(Equal(runBefore))
		stays(&host.Process, hostBefore)
		stays(&container.Process, containerBefore)
	})

	It("shows all but the MACs to somebody who isn't root", func() {
		host.Must("install", "-m755", binary, "/run/netsetgo")
		result := host.Run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/run/netsetgo", "list")
		Expect(result.Stderr).To(BeEmpty())
		Expect(result.Code).To(Equal(0))
		asNobody, asRoot := readTable(result.Stdout), rowsOf(host)
		Expect(asNobody).To(HaveLen(2))
		for name, row := range asRoot {
			row[3] = "-"
			Expect(asNobody[name][:7]).To(Equal(row[:7]))
		}
	})

	It("is without colours, also at a terminal", func() {
		result := host.Run("env", "TERM=xterm-256color", "script", "--quiet", "--return", "--command", binary+" list", "/dev/null")
		Expect(result.Code).To(Equal(0))
		Expect(result.Stdout).To(ContainSubstring("\r\n"), "a terminal's end of a line")
		Expect(readTable(strings.ReplaceAll(result.Stdout, "\r", ""))).To(HaveLen(2))
	})

	It("never fails while containers come and go", func() {
		script := "ip netns add $n; " + binary + " -netns $n; case $i in *[02468]) " + binary + " down -netns $n;; esac; ip netns delete $n"
		coming := host.Command("sh", "-ec", `
			for i in $(seq 50); do n=a$i; `+script+`; done & a=$!
			for i in $(seq 50); do n=b$i; `+script+`; done
			wait $a`)
		coming.Stdout, coming.Stderr = GinkgoWriter, GinkgoWriter
		Expect(coming.Start()).To(Succeed())
		done := make(chan error, 1)
		go func() { done <- coming.Wait() }()
		most, rounds := 0, 0
		for ended := false; !ended; rounds++ {
			select {
			case err := <-done:
				Expect(err).NotTo(HaveOccurred())
				ended = true
			default:
			}
			list := withoutBytes(listOf(host))
			Expect(list).To(HaveKeyWithValue("veth0", usual(func(*listed) {})["veth0"]))
			most = max(most, len(list))
		}
		GinkgoWriter.Printf("%d lists, with up to %d attachments\n", rounds, most)
		Expect(most).To(BeNumerically(">", 2))
	})
})

var _ = Describe("the verb list, with as many attachments as a bridge can have", Label("root", "long"), Serial, func() {
	It("takes less than 100 ms for a thousand", func() {
		const containers = 1000
		host := testnet.NewHost()
		makeNamespaces(host, containers)
		Expect(host.Sh(fmt.Sprintf(
			"for i in $(seq %d); do %s -netns c$i -id web$i -bridgeAddress 10.20.0.1/16; done", containers, binary))).To(BeEmpty())
		expected := map[string]bool{}
		for i := 1; i <= containers; i++ {
			expected[fmt.Sprintf("web%d", i)] = true
		}
		for _, each := range listOf(host) {
			Expect(expected).To(HaveKey(each.Container))
			delete(expected, each.Container)
			Expect(each.State).To(Equal("up"))
			Expect(each.MAC).NotTo(BeEmpty())
		}
		Expect(expected).To(BeEmpty())
		// The best of several, and of the time that passed or that a processor was at it,
		// whichever is less: what else the machine does meanwhile is no part of it.
		Eventually(func() time.Duration {
			command := host.Command(binary, "list")
			began := time.Now()
			Expect(command.Run()).To(Succeed())
			passed, worked := time.Since(began), command.ProcessState.UserTime()+command.ProcessState.SystemTime()
			GinkgoWriter.Println(passed, "passed,", worked, "worked")
			return min(passed, worked)
		}).WithTimeout(20 * time.Second).WithPolling(time.Millisecond).Should(BeNumerically("<", 100*time.Millisecond*testnet.Slow))
	})
})
