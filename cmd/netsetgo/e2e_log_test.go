package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// logPath is where the specs' runs write, on their host.
const logPath = "/run/log"

// logLine is a line of the log.
type logLine struct {
	Time                    time.Time
	Level, Msg              string
	Verb, Container, Target string
	Command, Why, Refused   string
	Outcome, Error          string
	What, Asked, Is, Mend   string
	Text                    string
	DryRun                  bool
}

// logOf reads all lines of a host's log: nothing is in it but whole lines of JSON.
func logOf(host *testnet.Host) []logLine {
	GinkgoHelper()
	text, err := os.ReadFile(onHost(host, logPath))
	Expect(err).NotTo(HaveOccurred())
	var all []logLine
	for line := range strings.Lines(string(text)) {
		Expect(line).To(HaveSuffix("}\n"))
		var one logLine
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		Expect(decoder.Decode(&one)).To(Succeed(), line)
		Expect(decoder.InputOffset()).To(BeEquivalentTo(len(line)-1), line)
		Expect(one.Time).NotTo(BeZero())
		all = append(all, one)
	}
	return all
}

// asVerbose are the changes among lines as -v prints them.
func asVerbose(lines []logLine) string {
	GinkgoHelper()
	var text strings.Builder
	for _, line := range lines {
		if line.Msg != "change" {
			continue
		}
		Expect(line.Level).To(Equal("INFO"))
		if line.Refused != "" {
			fmt.Fprintf(&text, "# refused (%s): %s\n", line.Refused, line.Command)
		} else {
			fmt.Fprintf(&text, "%s  # %s\n", line.Command, line.Why)
		}
	}
	return text.String()
}

var _ = Describe("-log", Label("root"), func() {
	var host *testnet.Host
	var container *testnet.Container
	var pid string
	BeforeEach(func() {
		host = testnet.NewHost()
		container = host.NewContainer()
		pid = strconv.Itoa(container.Pid)
	})
	logged := func(arguments ...string) testnet.Result {
		GinkgoHelper()
		return execute(host, append(arguments, "-log", logPath)...)
	}
	// ends is the last line: how the run ended. All lines before it are changes of the
	// same run.
	ends := func(lines []logLine) logLine {
		GinkgoHelper()
		Expect(lines).NotTo(BeEmpty())
		end := lines[len(lines)-1]
		Expect(end.Msg).To(Equal("end"))
		for i, line := range lines[:len(lines)-1] {
			Expect(line.Msg).To(Equal("change"))
			Expect(line.Time).NotTo(BeTemporally(">", lines[i+1].Time))
			Expect([]string{line.Verb, line.Container, line.Target}).To(Equal([]string{end.Verb, end.Container, end.Target}))
		}
		end.Time = time.Time{}
		return end
	}

	It("has each change of up and down, as -v prints it", func() {
		for _, verb := range []string{"up", "down"} {
			host.Sh("rm -f " + logPath)
			result := logged(verb, "-pid", pid, "-id", "web", "-v")
			Expect(result.Code).To(Equal(0))
			Expect(result.Stdout).To(BeEmpty())
			lines := logOf(host)
			Expect(ends(lines)).To(Equal(logLine{
				Level: "INFO", Msg: "end", Verb: verb, Container: "web", Target: "/proc/" + pid + "/ns/net", Outcome: "done",
			}))
			Expect(lines).To(HaveLen(strings.Count(result.Stderr, "\n") + 1))
			Expect(asVerbose(lines)).To(Equal(result.Stderr))
			Expect(result.Stderr).To(And(ContainSubstring("\nnft '"), MatchRegexp(`(?m)^ip link `)))
		}
	})

	It("says nothing on its own account", func() {
		succeeds(logged("up", "-netns", "/proc/"+pid+"/ns/net"))
		lines := logOf(host)
		Expect(ends(lines)).To(Equal(logLine{Level: "INFO", Msg: "end", Verb: "up", Target: "/proc/" + pid + "/ns/net", Outcome: "done"}))
		byDefault(nil).check(host, container)
		succeeds(logged("-pid", pid))
		Expect(ends(logOf(host)[len(lines):])).To(Equal(logLine{Level: "INFO", Msg: "end", Verb: "up", Target: "/proc/" + pid + "/ns/net", Outcome: "done"}))
		Expect(logOf(host)).To(HaveLen(len(lines)+1), "nothing was changed")
	})

	It("has how check ended, and a dry run", func() {
		Expect(logged("check", "-pid", pid).Code).To(Equal(3))
		Expect(logged("-pid", pid, "-dryRun").Code).To(Equal(0))
		up(host, container)
		Expect(logged("check", "-pid", pid).Code).To(Equal(0))
		var found []string
		for _, line := range logOf(host) {
			Expect(line.Target).To(Equal("/proc/" + pid + "/ns/net"))
			found = append(found, fmt.Sprintf("%s %s %s %t", line.Msg, line.Verb, line.Outcome, line.DryRun))
		}
		Expect(found).To(Equal([]string{"difference check  false", "end check different false", "end up done true", "end check done false"}))
	})

	It("has what was refused, what was undone, and the error", func() {
		container.Sh("ip link add x type bridge; ip link set x up; ip route add 192.168.0.0/16 dev x")
		hostBefore, containerBefore := host.State(), container.State()
		result := logged("-pid", pid, "-v", "-route", "192.168.0.0/16")
		Expect(result.Code).To(Equal(1))
		lines := logOf(host)
		end := ends(lines)
		Expect(asVerbose(lines) + "netsetgo: " + end.Error + "\n").To(Equal(result.Stderr))
		Expect(end.Error).To(ContainSubstring("adding route 192.168.0.0/16"))
		end.Error = ""
		Expect(end).To(Equal(logLine{Level: "ERROR", Msg: "end", Verb: "up", Target: "/proc/" + pid + "/ns/net", Outcome: "failed"}))
		Expect(lines).To(ContainElement(And(HaveField("Refused", Not(BeEmpty())), HaveField("Command", ContainSubstring("192.168.0.0/16")))))
		Expect(lines[len(lines)-2].Command).To(Equal("ip link delete dev brg0"))
		Expect(lines).To(ContainElement(HaveField("Why", "undo")))
		stays(&host.Process, hostBefore)
		stays(&container.Process, containerBefore)
	})

	It("is of a hook too", func() {
		succeeds(host.RunWith(ociState("web", "created", container.Pid), binary, "-log", logPath))
		connects := logOf(host)
		Expect(ends(connects)).To(Equal(logLine{
			Level: "INFO", Msg: "end", Verb: "up", Container: "web", Target: "/proc/" + pid + "/ns/net", Outcome: "done",
		}))
		succeeds(host.RunWith(ociState("web", "stopped", 0), binary, "-log", logPath))
		disconnects := logOf(host)[len(connects):]
		Expect(ends(disconnects)).To(Equal(logLine{Level: "INFO", Msg: "end", Verb: "down", Container: "web", Outcome: "done"}))
		Expect(disconnects).To(ContainElement(HaveField("Command", "ip link delete dev veth0")))
	})

	DescribeTable("has why a hook was refused", func(code int, state, verb, says string) {
		arguments := slices.Concat([]string{binary}, strings.Fields(verb), []string{"-log", logPath})
		line := fails(host.RunWith(state, arguments...), code)
		lines := logOf(host)
		Expect(lines).To(HaveLen(1))
		end := ends(lines)
		Expect(end.Outcome).To(Equal("failed"))
		Expect(end.Level).To(Equal("ERROR"))
		if strings.Contains(state, `"id":"web"`) {
			Expect(end.Container).To(Equal("web"))
		}
		Expect("netsetgo: " + end.Error).To(Equal(line))
		Expect(end.Error).To(ContainSubstring(says))
	},
		Entry("for its status", 1, ociState("web", "paused", 4711), "", `its status is "paused"`),
		Entry("for its point", 1, ociState("web", "creating", 1), "", "createContainer"),
		Entry("because the container has stopped", 1, ociState("web", "stopped", 0), "up", `container "web" has stopped`),
		Entry("for what isn't a state", 1, "{}x", "", "it isn't an OCI state"),
		Entry("for no state at all", 1, "", "down", "it is empty"),
		Entry("for an id that nothing takes", 2, ociState("a b", "created", 4711), "", `id "a b"`),
	)

	It("is its caller's alone", func() {
		result := host.Run("sh", "-c", fmt.Sprintf("umask 0; %s -pid %s -log %s", binary, pid, logPath))
		succeeds(result)
		Expect(host.Must("stat", "-c", "%a", logPath)).To(Equal("600\n"))
		host.Sh("chmod 640 " + logPath)
		lines := logOf(host)
		succeeds(logged("down", "-pid", pid))
		Expect(host.Must("stat", "-c", "%a", logPath)).To(Equal("640\n"), "a log that is there stays as it is")
		Expect(logOf(host)[:len(lines)]).To(Equal(lines))
	})

	DescribeTable("that can't be opened keeps everything as it is", func(script string) {
		host.Sh("mkdir /run/logs; cd /run/logs; " + script)
		for _, verb := range []string{"up", "down", "check"} {
			if verb == "down" {
				up(host, container, "-id", "web")
				settleCarriers(&container.Process)
				settleCarriers(&host.Process)
			}
			hostBefore, containerBefore, runBefore := host.State(), container.State(), inRun(host)
			line := fails(host.Run("timeout", "20", binary, verb, "-pid", pid, "-log", "/run/logs/log"), 1)
			Expect(line).To(HavePrefix("netsetgo: opening the log: open /run/logs/log: "))
			stays(&host.Process, hostBefore)
			stays(&container.Process, containerBefore)
			Expect(inRun(host)).To(Equal(runBefore))
		}
	},
		Entry("because it is a symbolic link", "touch there; ln -s there log"),
		Entry("because it is a symbolic link to nothing", "ln -s /run/elsewhere log"),
		Entry("because it is a directory", "mkdir log"),
		Entry("because its directory isn't there", "rmdir /run/logs"),
		Entry("because it is a pipe that nobody reads", "mkfifo log"),
	)

	It("on a full disk doesn't stop the work", func() {
		host.Sh("mkdir /run/small; mount -t tmpfs -o size=4k tmpfs /run/small; head -c 4096 /dev/zero >/run/small/full")
		for _, verb := range []string{"up", "down"} {
			result := execute(host, verb, "-pid", pid, "-log", "/run/small/log")
			Expect(result.Code).To(Equal(0))
			Expect(result.Stdout).To(BeEmpty())
			Expect(result.Stderr).To(MatchRegexp(`\Anetsetgo: writing the log: [^[:cntrl:]]*no space left on device; what was asked for is done all the same\n\z`))
			if verb == "up" {
				byDefault(nil).check(host, container)
			}
		}
		Expect(links(&host.Process)).To(HaveLen(1))
	})

	It("is whole when a hundred runs write it at once", Label("long"), func() {
		const containers = 100
		makeNamespaces(host, containers)
		flags := " -netns c% -id " + strings.Repeat("x", 40) + "-% -log " + logPath
		ups := each(1, containers, "up"+flags+" -route 192.168.0.0/16 -route 172.16.0.0/12,via=10.10.10.254")
		atOnce(host, ups)
		downs, checks := each(1, 50, "down"+flags), each(51, containers, "check"+flags)
		var mixed []string
		for i := range downs {
			mixed = append(mixed, downs[i], checks[i], ups[50+i])
		}
		atOnce(host, mixed)

		runs, pairs := map[string]int{}, map[string]int{}
		for _, line := range logOf(host) {
			switch {
			case line.Msg == "end":
				Expect(line.Outcome).To(Equal("done"))
				runs[line.Verb+" "+line.Target]++
			case line.Refused == "" && strings.HasPrefix(line.Command, "ip link add ") && strings.Contains(line.Command, " type veth "):
				pairs[line.Target]++
			}
			Expect(line.Container).To(HaveSuffix("x-" + strings.TrimPrefix(line.Target, "c")))
		}
		for i := 1; i <= containers; i++ {
			target := fmt.Sprintf("c%d", i)
			Expect(pairs).To(HaveKeyWithValue(target, 1))
			others := []int{runs["down "+target], runs["check "+target]}
			Expect(runs["up "+target]).To(Equal(1 + others[1]))
			Expect(slices.Sorted(slices.Values(others))).To(Equal([]int{0, 1}))
		}
	})
})
