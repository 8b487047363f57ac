package main_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// onTheHost and inside prepare a scene by a script. PID is the container's.
func onTheHost(script string) func(scene) {
	return func(s scene) { s.host.Sh(strings.ReplaceAll(script, "PID", strconv.Itoa(s.container.Pid)) + looking) }
}

func inside(script string) func(scene) {
	return func(s scene) { s.container.Sh(script + looking) }
}

// looking at each link settles its carrier from Linux 6.8 on, which the kernel otherwise does later.
const looking = `
	ip -oneline link | sed 's/^[0-9]*: //; s/[@:].*//' | while IFS= read -r link; do ip link show dev "$link" >/dev/null; done`

func withNeighbour(s scene) { up(s.host, s.host.NewContainer()) }

// What other hands make has a MAC, and no IPv6 addresses, which come and go late.
const (
	foreignBridge = `
		ip link add name brg0 address 02:00:00:00:00:99 mtu 1400 type bridge
		ip link set dev brg0 addrgenmode none
		ip address add 10.10.10.1/24 dev brg0; ip link set dev brg0 up`
	ourBridge = `
		ip link add name brg0 address 6e:73:0a:0a:0a:01 group 7238503 type bridge
		ip link set dev brg0 addrgenmode none`
	unfinishedPair = ourBridge + `
		ip address add 10.10.10.1/24 broadcast 10.10.10.255 dev brg0; ip link set dev brg0 up
		ip link add name veth0 address fe:73:0a:0a:0a:02 mtu 1500 master brg0 group 7238503 type veth \
			peer name veth1 address 6e:73:0a:0a:0a:02 netns PID
		ip link set dev veth0 addrgenmode none`
	uplink = `
		ip link add name uplink address 02:00:00:00:00:98 mtu 1400 type bridge
		ip link set dev uplink addrgenmode none; ip link set dev uplink up; ip route add default dev uplink
		timeout 5 sh -c 'until ip link show dev uplink | grep -q NO-CARRIER; do :; done'`
	created = `{"ociVersion":"1.0.2","id":"web","status":"created","pid":PID,"bundle":"/bundle"}`
	oddFile = `f=/run/it\'s\"\$\(touch\;x\); touch "$f"; mount --bind /proc/PID/ns/net "$f"`
)

// leavesTheSame says that what dry runs of up and down print does the same as they do.
func leavesTheSame(prepare func(scene), flags, downFlags string) {
	GinkgoHelper()
	made, pasted := newScene(prepare), newScene(prepare)
	before, files := pasted.state(), pasted.files()
	plan := pasted.plan(flags)
	Expect(testnet.Changes(before, pasted.state())).To(BeEmpty(), "a dry run changes nothing")
	Expect(pasted.files()).To(Equal(files))

	succeeds(made.run(flags))
	Expect(testnet.Changes(before, made.state())).NotTo(BeEmpty())
	pasted.paste(plan)
	areAlike(made, pasted)

	By("finding a real attachment there")
	Expect(pasted.plan(flags)).To(BeEmpty())
	succeeds(pasted.run(flags))
	areAlike(made, pasted)

	By("taking it down")
	plan = pasted.plan("down " + downFlags)
	succeeds(made.run("down " + downFlags))
	pasted.paste(plan)
	areAlike(made, pasted)
	Expect(pasted.plan("down " + downFlags)).To(BeEmpty())
	Expect(links(&pasted.container.Process)).To(HaveLen(1))
}

var _ = Describe("a dry run, pasted into a shell", Label("root"), func() {
	// Flags of up, and those by which down finds the same attachment.
	DescribeTable("leaves what the run leaves, and down too", leavesTheSame,
		Entry("plain", nil, "-pid PID", "-pid PID"),
		Entry("by its verb", nil, "up -pid PID", "-pid PID"),
		Entry("by -netns and a name", nil, "-netns blue", "-netns blue"),
		Entry("by -netns and the path of a named one", nil, "-netns /run/netns/blue", "-netns /run/netns/blue"),
		Entry("by -netns and the path of a process", nil, "-netns /proc/PID/ns/net", "-netns /proc/PID/ns/net"),
		Entry("by -netns and an odd path", onTheHost(oddFile), `-netns /run/it's"$(touch;x)`, `-netns /run/it's"$(touch;x)`),
		Entry("by an OCI state", nil, created, ociState("web", "stopped", 0)),
		Entry("by an OCI state, and taken down by its id", nil, created, "-id web"),
		Entry("by -id", nil, "-pid PID -id web:8080", "-id web:8080"),
		Entry("by an odd -id", nil, `-pid PID -id it's"$(touch)`+"`x`;&|~", `-id it's"$(touch)`+"`x`;&|~"),
		Entry("by an -id in other letters", nil, "-pid PID -id 家-é", "-id 家-é"),
		Entry("by an -id that is cut", nil, "-pid PID -id "+strings.Repeat("x", 200), "-id "+strings.Repeat("x", 200)),
		Entry("by -mtu", nil, "-pid PID -mtu 1280", "-pid PID"),
		Entry("by an -mtu that is too small for IPv6", nil, "-pid PID -mtu 1279", "-pid PID"),
		Entry("by a -bridgeName that is the beginning of a word of ip's", nil, "-pid PID -bridgeName b", "-pid PID"),
		Entry("by a -bridgeName and a prefix that are words of ip's", nil, "-pid PID -bridgeName up -vethNamePrefix master -containerInterface dev",
			"-pid PID -containerInterface dev"),
		Entry("by -mac", nil, "-pid PID -mac 02:00:00:00:00:2A", "-pid PID"),
		Entry("by -route", nil,
			"-pid PID -route 192.168.0.0/16 -route 172.16.0.0/12,via=10.10.10.9 -route 10.20.0.0/16,metric=50 -route 10.20.0.0/16,via=10.10.10.9,metric=4294967295",
			"-pid PID"),
		Entry("by -defaultRoute=false", nil, "-pid PID -defaultRoute=false", "-pid PID"),
		Entry("by -containerAddress", nil, "-pid PID -containerAddress 10.10.10.77", "-pid PID"),
		Entry("by -bridgeName and -bridgeAddress", nil, "-pid PID -bridgeName 1.tower_x-7 -bridgeAddress 192.168.7.6/29", "-pid PID"),
		Entry("by -vethNamePrefix", nil, "-pid PID -vethNamePrefix el.ven-byt_", "-pid PID -vethNamePrefix el.ven-byt_"),
		Entry("by -containerInterface", nil, "-netns blue -containerInterface eth0", "-netns blue -containerInterface eth0"),

		Entry("beside another container", withNeighbour, "-pid PID", "-pid PID"),
		Entry("where an address is taken", onTheHost("ip link property add dev lo altname netsetgo:a:9a37:brg0:10.10.10.2"), "-pid PID", "-pid PID"),
		Entry("on somebody else's bridge", onTheHost(foreignBridge), "-pid PID -id web", "-id web"),
		Entry("where the host's default route has an MTU", onTheHost(uplink), "-pid PID", "-pid PID"),
		Entry("where lo has a name that no terminal should see", inside("ip link set dev lo name '\u009b2J'"), "-pid PID", "-pid PID"),
		Entry("where lo is up in the container", inside("ip link set dev lo up"), "-pid PID", "-pid PID"),
		Entry("behind a run that was killed before its bridge had an address", onTheHost(ourBridge), "-pid PID", "-pid PID"),
		Entry("behind a run that was killed before its bridge was up",
			onTheHost(ourBridge+"; ip address add 10.10.10.1/24 broadcast 10.10.10.255 dev brg0"), "-pid PID", "-pid PID"),
		Entry("behind a run that was killed before its pair had an owner", onTheHost(unfinishedPair), "-pid PID", "-pid PID"),
	)

	It("leaves what the run leaves behind one that was killed, at a third of its calls", Label("long"), func() {
		made, pasted := newScene(nil), newScene(nil)
		const flags = "-pid PID -id web"
		for n := firstOfThird(); ; n += 3 {
			Expect(n).To(BeNumerically("<", most))
			By(fmt.Sprintf("killed at message %d", n))
			hit := false
			for _, s := range []scene{made, pasted} {
				_, hit = interfere(s.host, "sendto", fmt.Sprintf("signal=KILL:when=%d", n), "-pid", strconv.Itoa(s.container.Pid), "-id", "web")
			}
			if !hit {
				break
			}
			plan := pasted.plan(flags)
			succeeds(made.run(flags))
			pasted.paste(plan)
			areAlike(made, pasted)
			Expect(pasted.plan(flags)).To(BeEmpty())

			plan = pasted.plan("down -pid PID")
			succeeds(made.run("down -pid PID"))
			pasted.paste(plan)
		}
	})

	// A number by chance: so it isn't what the run would leave, but as good.
	It("makes a real attachment also where the host link's first name is taken", func() {
		s := newScene(onTheHost("ip link add name veth0 type bridge"))
		before := s.host.State()
		s.paste(s.plan("-pid PID"))
		Expect(s.plan("-pid PID")).To(BeEmpty())
		succeeds(s.run("-pid PID"))
		Expect(s.container.Pings("10.10.10.1")).To(BeTrue())
		s.paste(s.plan("down -pid PID"))
		stays(&s.host.Process, before)
	})

	DescribeTable("of down leaves what down leaves", func(prepare func(scene), flags string, deleted ...string) {
		made, pasted := newScene(prepare), newScene(prepare)
		plan := pasted.plan(flags)
		var gone []string
		for line := range strings.Lines(plan) {
			Expect(line).To(MatchRegexp(`^(ip link|nft 'delete (element|table)) .*  # `))
			if rest, ok := strings.CutPrefix(line, "ip link delete dev "); ok {
				gone = append(gone, strings.Fields(rest)[0])
			}
		}
		Expect(gone).To(Equal(deleted))
		succeeds(made.run(flags))
		pasted.paste(plan)
		areAlike(made, pasted)
		Expect(pasted.plan(flags)).To(BeEmpty())
	},
		Entry("where another container is left", func(s scene) { withNeighbour(s); up(s.host, s.container) }, "down -pid PID", "veth1"),
		Entry("for the last one", func(s scene) { up(s.host, s.container) }, "down -netns blue", "veth0", "brg0"),
		Entry("by an id alone", func(s scene) { up(s.host, s.container, "-id", "web") }, "down -id web", "veth0", "brg0"),
		Entry("by an OCI state that is stopped", func(s scene) { up(s.host, s.container, "-id", "web") }, ociState("web", "stopped", 0), "veth0", "brg0"),
		Entry("on somebody else's bridge", func(s scene) { onTheHost(foreignBridge)(s); up(s.host, s.container) }, "down -pid PID", "veth0"),
		Entry("behind a run that was killed", onTheHost(unfinishedPair), "down -pid PID", "veth0", "brg0"),
		Entry("where only a bridge of ours is left", onTheHost(ourBridge), "down -pid PID", "brg0"),
		Entry("where only a bridge of ours is left, by an id", onTheHost(ourBridge), "down -id nobody", "brg0"),
	)
})

var _ = Describe("a dry run", Label("root"), func() {
	// untouched runs something, which is to change nothing.
	untouched := func(s scene, run func() testnet.Result) testnet.Result {
		GinkgoHelper()
		before, files := s.state(), s.files()
		result := run()
		Expect(testnet.Changes(before, s.state())).To(BeEmpty())
		Expect(s.files()).To(Equal(files))
		return result
	}

	It("prints each command on standard output, with the reason behind it", func() {
		s := newScene(nil)
		result := untouched(s, func() testnet.Result { return s.dry("-netns blue -id web") })
		Expect(result.Stderr).To(BeEmpty())
		Expect(strings.Split(strings.TrimSuffix(result.Stdout, "\n"), "\n")).To(And(
			HaveEach(MatchRegexp(`^(ip (-netns blue )?(link|address|route)|nft 'add|sysctl -w|bridge fdb replace) [^#]+  # [a-zA-Z][^#]+$`)),
			ContainElements(HavePrefix("ip -netns blue route "), HavePrefix("nft 'add table inet "), HavePrefix("sysctl "), HavePrefix("bridge ")),
		))
		Expect(s.host.Run("ls", "/run/netsetgo.lock").Code).NotTo(Equal(0))
	})

	It("waits for no lock, and takes none", func() {
		s := newScene(func(s scene) { up(s.host, s.container) })
		hold := s.host.Command("flock", "--no-fork", "/run/netsetgo.lock", "sh", "-c", "echo locked; exec sleep 60")
		out, err := hold.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(hold.Start()).To(Succeed())
		DeferCleanup(func() { _ = hold.Process.Kill(); _ = hold.Wait() })
		_, err = out.Read(make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())
		Expect(s.plan("-pid PID -containerInterface eth0 -defaultRoute=false")).NotTo(BeEmpty())
		Expect(s.plan("down -pid PID")).NotTo(BeEmpty())
		Expect(fails(s.run("-pid PID -timeout 20ms"), 1)).To(ContainSubstring("-timeout is over"), "or the spec shows nothing")
	})

	DescribeTable("fails as the run itself would", func(prepare func(scene), line string, code int, says string) {
		s := newScene(prepare)
		result := untouched(s, func() testnet.Result { return s.dry(line) })
		Expect(fails(result, code)).To(ContainSubstring(says))
		Expect(s.run(line)).To(Equal(result))
	},
		Entry("an address is a live container's", withNeighbour, "-pid PID -containerAddress 10.10.10.2", 1, "choose another -containerAddress"),
		Entry("an id is a live container's", func(s scene) { up(s.host, s.host.NewContainer(), "-id", "web") }, "-pid PID -id web", 1, "choose another -id"),
		Entry("all addresses are taken", func(s scene) { up(s.host, s.host.NewContainer(), "-bridgeAddress", "10.1.0.1/30") },
			"-pid PID -bridgeAddress 10.1.0.1/30", 1, "all of 10.1.0.0/30 are taken"),
		Entry("the interface is somebody else's", inside("ip link add name veth1 type bridge"), "-pid PID", 1, "isn't netsetgo's"),
		Entry("the interface's name is lo's", inside("ip link property add dev lo altname veth1"), "-pid PID", 1, "isn't netsetgo's"),
		Entry("there is a default route", inside("ip link set dev lo up; ip route add default dev lo"),
			"-pid PID", 1, "use -defaultRoute=false"),
		Entry("there is no other way than that, and it leads nowhere", inside("ip route add unreachable default"), "-pid PID", 1, "use -defaultRoute=false"),
		Entry("a bridge of somebody else's is down", onTheHost("ip link add name brg0 type bridge; ip address add 10.10.10.1/24 dev brg0"),
			"-pid PID", 1, "bring it up: ip link set brg0 up"),
		Entry("a bridge of somebody else's has another address", onTheHost("ip link add name brg0 type bridge"), "-pid PID", 1, "ip address add 10.10.10.1/24 dev brg0"),
		Entry("the bridge's name is another link's", onTheHost("ip link add name brg0 type veth peer name x"), "-pid PID", 1, "choose another -bridgeName"),
		Entry("the subnet is in use", onTheHost("ip link add name x type bridge; ip address add 10.10.10.7/24 dev x; ip link set dev x up"),
			"-pid PID", 1, "choose another -bridgeAddress"),
		Entry("it is connected otherwise", func(s scene) { up(s.host, s.container) }, "-pid PID -mtu 1400", 1, "connected already, otherwise than asked"),
		Entry("there is no such process", nil, "-pid 4194304", 1, "there is no such process"),
		Entry("there is no such namespace", nil, "-netns red", 1, "no such network namespace"),
		Entry("it is the host's own namespace", nil, "-netns /proc/self/ns/net", 1, "netsetgo's own"),
		Entry("down is of the host's own namespace", nil, "down -netns /proc/self/ns/net", 1, "netsetgo's own"),
		Entry("a state isn't one", nil, `{"ociVersion":1}`, 1, "it isn't an OCI state"),
		Entry("the flags are wrong", nil, "-pid PID -mtu 1", 2, "see netsetgo -h"),
	)

	It("has no result for -output json", func() {
		s := newScene(nil)
		Expect(fails(untouched(s, func() testnet.Result { return s.dry("-pid PID -output json") }), 2)).To(ContainSubstring("-output json"))
	})

	DescribeTable("of down prints nothing where there is nothing to do", func(prepare func(scene), line string) {
		s := newScene(prepare)
		Expect(untouched(s, func() testnet.Result { return s.dry(line) })).To(Equal(testnet.Result{}))
	},
		Entry("by a pid", nil, "down -pid PID"),
		Entry("by a name", nil, "down -netns blue"),
		Entry("by a name that is gone", nil, "down -netns red"),
		Entry("by an id", nil, "down -id web"),
		Entry("by an OCI state", nil, ociState("web", "stopped", 0)),
		Entry("beside a bridge of somebody else's", onTheHost("ip link add name brg0 type bridge"), "down -id web"),
		Entry("beside a bridge that is used", withNeighbour, "down -pid PID"),
		Entry("where an interface of that name is somebody else's", inside("ip link add name veth1 type bridge"), "down -pid PID"),
	)

	DescribeTable("fails where nobody takes what it prints", func(line string) {
		s := newScene(func(s scene) {
			up(s.host, s.container, "-id", "web", "-containerInterface", "eth9", "-defaultRoute=false")
		})
		line = strings.ReplaceAll(binary+" "+line+" -dryRun", "PID", strconv.Itoa(s.container.Pid))
		result := untouched(s, func() testnet.Result { return s.host.Run("sh", "-c", line+" >/dev/full") })
		Expect(fails(result, 1)).To(ContainSubstring("printing the result"))
		reader, writer, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(reader.Close()).To(Succeed())
		var stderr strings.Builder
		cmd := s.host.Command("sh", "-c", line)
		cmd.Stdout, cmd.Stderr = writer, &stderr
		Expect(cmd.Run()).NotTo(Succeed())
		Expect(writer.Close()).To(Succeed())
		Expect(fails(testnet.Result{Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}, 1)).To(ContainSubstring("broken pipe"))
	},
		Entry("up", "up -pid PID"),
		Entry("down", "down -id web -containerInterface eth9"),
	)
})
