package main_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// madeOf are the lines of -v that are of changes made: without those refused.
func madeOf(stderr string) string {
	var made strings.Builder
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "# refused (") {
			made.WriteString(line)
		}
	}
	return made.String()
}

// lastLine cuts the error from what stands before it.
func lastLine(text string) (before, last string) {
	GinkgoHelper()
	Expect(text).To(HaveSuffix("\n"))
	end := strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n') + 1
	return text[:end], text[end:]
}

// interfaceOf is the container interface that a line of flags asks for.
func interfaceOf(line string) string {
	fields := strings.Fields(line)
	if at := slices.Index(fields, "-containerInterface"); at >= 0 {
		return fields[at+1]
	}
	return "veth1"
}

var _ = Describe("-v", Label("root"), func() {
	DescribeTable("shows what the dry run before it said", func(prepare func(scene), line string, refused int) {
		s := newScene(prepare)
		plan := s.plan(line)
		flags, state := splitState(line)
		result := s.run(flags + " -v " + state)
		Expect(result.Code).To(Equal(0))
		Expect(result.Stdout).To(BeEmpty())
		Expect(madeOf(result.Stderr)).To(Equal(plan))
		Expect(strings.Count(result.Stderr, "# refused (")).To(Equal(refused), result.Stderr)
		Expect(s.plan(line)).To(BeEmpty())
		Expect(s.run(flags + " -v " + state)).To(Equal(testnet.Result{Stderr: "# nothing to change for " + interfaceOf(line) + "\n"}))
	},
		Entry("plain", nil, "-pid PID", 0),
		Entry("by a name", nil, "-netns blue -id web", 0),
		Entry("by an OCI state", nil, created, 0),
		Entry("beside another container", withNeighbour, "-pid PID", 0),
		Entry("where the first address is taken",
			onTheHost("for name in netsetgo:a:9a37:brg0:10.10.10.2 netsetgo:a:9ea4:brg0:10.10.10.3 netsetgo:a:e2a1:brg0:10.10.10.4; do ip link property add dev lo altname $name; done"), "-pid PID", 3),
		Entry("behind a run that was killed", onTheHost(unfinishedPair), "-pid PID", 1),
		Entry("with odd names", nil, `-netns blue -id it's"$(touch)`+"`x`;&|~家", 0),
		Entry("of down", func(s scene) { up(s.host, s.container) }, "down -pid PID", 0),
		Entry("of down by an OCI state", func(s scene) { up(s.host, s.container, "-id", "web") }, ociState("web", "stopped", 0), 0),
		Entry("of down beside another container", func(s scene) { withNeighbour(s); up(s.host, s.container) }, "down -netns blue", 0),
	)

	It("says of each refused change which, and why, as a comment", func() {
		s := newScene(onTheHost("ip link property add dev lo altname netsetgo:a:9a37:brg0:10.10.10.2"))
		Expect(s.run("-pid PID -v").Stderr).To(ContainSubstring(
			"\n# refused (file exists): ip link property add dev veth0 altname netsetgo:a:9a37:brg0:10.10.10.2\n" +
				"ip link property add dev veth0 altname netsetgo:a:9ea4:brg0:10.10.10.3  # leases the address: "))
	})

	It("leaves standard output to the result", func() {
		s := newScene(nil)
		plan := s.plan("-pid PID")
		result := s.run("-pid PID -v -output json")
		Expect(result.Stderr).To(Equal(plan))
		Expect(json.Valid([]byte(result.Stdout))).To(BeTrue(), result.Stdout)
		Expect(s.run("-pid PID -output json").Stdout).To(Equal(result.Stdout))
	})

	DescribeTable("shows a run that fails and its undo, and then one error", func(prepare func(scene), line, says string) {
		made, pasted := newScene(prepare), newScene(prepare)
		before := made.state()
		result := made.run(line + " -v")
		Expect(result.Code).To(Equal(1))
		Expect(result.Stdout).To(BeEmpty())
		shown, last := lastLine(result.Stderr)
		Expect(fails(testnet.Result{Stderr: last, Code: result.Code}, 1)).To(ContainSubstring(says))
		Expect(shown).NotTo(ContainSubstring("netsetgo: "))
		Expect(shown).To(MatchRegexp(`(?m)^(ip|nsenter|nft) .*  # undo$`))
		Expect(testnet.Changes(before, made.state())).To(BeEmpty())

		By("pasting it")
		// The namespace of the one that it was shown for.
		pid := func(s scene) string { return "/proc/" + strconv.Itoa(s.container.Pid) + "/ns/net" }
		before = pasted.state()
		pasted.paste(strings.ReplaceAll(shown, pid(made), pid(pasted)))
		Expect(testnet.Changes(before, pasted.state())).To(BeEmpty())
	},
		Entry("where there is a default route", inside("ip link set dev lo up; ip route add default dev lo"),
			"-pid PID", "use -defaultRoute=false"),
		Entry("where the kernel refuses a route", inside("ip link set dev lo up; ip link add x type bridge; ip link set x addrgenmode none; ip link set x up; ip route add 192.168.0.0/16 dev x"), "-netns blue -route 192.168.0.0/16", "adding route 192.168.0.0/16"),
		Entry("where the kernel refuses a route, and lo was down", inside("ip link add x type bridge; ip link set x addrgenmode none; ip link set x up; ip route add 192.168.0.0/16 dev x"), "-netns blue -route 192.168.0.0/16", "adding route 192.168.0.0/16"),
		Entry("where the id is taken", func(s scene) { up(s.host, s.host.NewContainer(), "-id", "web") }, "-pid PID -id web", "choose another -id"),
		Entry("where the address is taken", withNeighbour, "-pid PID -containerAddress 10.10.10.2", "choose another -containerAddress"),
		Entry("where the interface is somebody else's", inside("ip link add name veth1 type bridge"), "-pid PID", "isn't netsetgo's"),
	)

	It("fails at nothing where nobody reads it", func() {
		s := newScene(nil)
		result := s.host.Run("sh", "-c", binary+" -netns blue -v 2>/dev/full")
		Expect(result.Code).To(Equal(0))
		Expect(s.container.Pings("10.10.10.1")).To(BeTrue())
	})
})

// Names that anybody may have given come to a terminal only as they can be read.
var _ = Describe("a name with terminal escapes", Label("root"), func() {
	const esc, shown = "\x1b[31m\u009b\xff", `\033[31m`

	DescribeTable("is quoted", func(prepare func(scene), line string) {
		s := newScene(prepare)
		_, state := splitState(line)
		Expect(state).To(BeEmpty())
		for _, text := range []string{s.plan(line), s.run(line + " -v").Stderr} {
			Expect(text).NotTo(MatchRegexp(`[^[:print:]\n]`))
			Expect(text).To(ContainSubstring(shown))
		}
	},
		Entry("of lo, in a container", inside("ip link set dev lo name '"+esc+"'"), "-pid PID"),
		Entry("of a host link that down deletes", func(s scene) {
			up(s.host, s.container)
			s.host.Sh("ip link set dev veth0 down; ip link set dev veth0 name '" + esc + "'")
		}, "down -pid PID"),
		Entry("of a bridge that down deletes", onTheHost(ourBridge+"; ip link set dev brg0 down; ip link set dev brg0 name '"+esc+"'"), "down -id web"),
		Entry("of a host link that a killed run left", func(s scene) {
			onTheHost(unfinishedPair)(s)
			s.host.Sh("ip link set dev veth0 down; ip link set dev veth0 name '" + esc + "'")
		}, "-pid PID"),
	)

	It("is replaced in an error", func() {
		s := newScene(onTheHost("ip link add name '" + esc + "' type bridge; ip link property add dev '" + esc + "' altname brg0"))
		for _, flags := range []string{"-pid PID", "-pid PID -dryRun", "-pid PID -v"} {
			Expect(fails(s.run(flags), 1)).To(ContainSubstring("choose another -bridgeName"))
		}
	})
})
