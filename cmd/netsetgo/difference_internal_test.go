package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"unicode"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

var _ = Describe("the differences", Label("unit"), func() {
	printed := func(output string, differences ...netsetgo.Difference) string {
		GinkgoHelper()
		var out bytes.Buffer
		Expect(printDifferences(&out, output, differences)).To(Succeed())
		return out.String()
	}
	mtu := netsetgo.Difference{What: "MTU of eth0", Asked: "1400", Is: "1500", Mend: "ip link set eth0 mtu 1400"}
	route := netsetgo.Difference{What: "default route", Asked: "via 10.10.10.1", Is: netsetgo.Missing, Mend: "ip route add <&> 'x'"}

	It("are a line each: what is there, what was asked for, and what mends it", func() {
		Expect(printed(outputText, mtu, route)).To(Equal("MTU of eth0 is 1500, asked for is 1400; to mend it: ip link set eth0 mtu 1400\n" +
			"default route is missing; to mend it: ip route add <&> 'x'\n"))
	})

	It("are nothing where there are none", func() {
		Expect(printed(outputText)).To(BeEmpty())
	})

	It("keep to their lines, and a terminal unharmed", func() {
		odd := "a\n\x1b[2J\u009bm\r\u202e\xff"
		text := printed(outputText, netsetgo.Difference{What: odd, Asked: odd, Is: odd, Mend: odd}, mtu)
		safe := "a; \ufffd[2J\ufffdm\ufffd\ufffd\ufffd"
		Expect(strings.Split(text, "\n")[0]).To(Equal(safe + " is " + safe + ", asked for is " + safe + "; to mend it: " + safe))
		Expect(strings.Count(text, "\n")).To(Equal(2))
	})

	It("are an array of objects as JSON", func() {
		Expect(printed(outputJSON, mtu, route)).To(MatchJSON(`[
			{"what": "MTU of eth0", "asked": "1400", "is": "1500", "mend": "ip link set eth0 mtu 1400"},
			{"what": "default route", "asked": "via 10.10.10.1", "is": "missing", "mend": "ip route add <&> 'x'"}
		]`))
		Expect(printed(outputJSON, mtu)).To(HaveSuffix("]\n"))
		Expect(printed(outputJSON, netsetgo.Difference{})).To(MatchJSON(`[{"what": "", "asked": "", "is": "", "mend": ""}]`))
	})

	It("leave a terminal unharmed as JSON, and lose nothing", func() {
		odd := "a\n\x1b[2J\u009bm\u202e\U000e0001ä𝄞"
		text := printed(outputJSON, netsetgo.Difference{What: odd})
		for _, r := range strings.TrimSuffix(strings.ReplaceAll(text, "\n", " "), " ") {
			Expect(unicode.IsGraphic(r)).To(BeTrue(), "%q in %s", r, text)
		}
		var read []difference
		Expect(json.Unmarshal([]byte(text), &read)).To(Succeed())
		Expect(read).To(Equal([]difference{{What: odd}}))
	})

	It("are an empty array as JSON where there are none", func() {
		Expect(printed(outputJSON)).To(Equal("[]\n"))
	})

	It("that can't be printed are an error", func() {
		reader, writer := io.Pipe()
		Expect(reader.Close()).To(Succeed())
		for _, output := range []string{outputText, outputJSON} {
			Expect(printDifferences(writer, output, []netsetgo.Difference{mtu})).To(MatchError(ContainSubstring("printing the result: ")))
		}
	})
})

var _ = Describe("the command line that connects anew", Label("unit"), func() {
	DescribeTable("has the flags again that a verb looks at", func(pid int, down, up string, args ...string) {
		c := &call{verb: "check", options: parsed(args...), pid: pid}
		Expect(c.commandLine("down")).To(Equal(down))
		Expect(c.commandLine("up")).To(Equal(up))
		Expect(c.anew()).To(Equal(down + "; " + up))
	},
		Entry("a pid", 7, "netsetgo down -pid=7", "netsetgo up -pid=7 -mtu=1400", "-pid", "7", "-mtu", "1400"),
		Entry("the pid of a state", 4711, "netsetgo down -pid=4711", "netsetgo up -pid=4711 -bridgeName=lab0", "-bridgeName", "lab0"),
		Entry("a namespace, in their order", 0, "netsetgo down -containerInterface=eth0 -netns=blue -id=web",
			"netsetgo up -bridgeAddress=10.20.0.1/24 -containerInterface=eth0 -netns=blue -id=web",
			"-bridgeAddress", "10.20.0.1/24", "-containerInterface", "eth0", "-netns=blue", "--id", "web"),
		Entry("routes, and a switch", 7, "netsetgo down -pid=7", "netsetgo up -pid=7 -route=10.0.0.0/8 -route=172.16.0.0/12 -defaultRoute=false",
			"-pid=7", "-route", "10.0.0.0/8", "-route", "172.16.0.0/12", "-defaultRoute=false"),
		Entry("but none of what is printed", 7, "netsetgo down -pid=7", "netsetgo up -pid=7 -defaultRoute=true",
			"-pid=7", "-defaultRoute", "-v", "-output=json", "-log=/tmp/log", "-timeout=3s"),
	)

	It("has the id that came with the state, by which down finds the container later", func() {
		c := &call{verb: "check", options: parsed("-mtu", "1400"), stdin: strings.NewReader(`{"id":"it's","pid":4711,"status":"running"}`)}
		Expect(c.readTarget()).To(Succeed())
		Expect(c.commandLine("up")).To(Equal(`netsetgo up -pid=4711 '-id=it'\''s' -mtu=1400`))
		Expect(c.commandLine("down")).To(Equal(`netsetgo down -pid=4711 '-id=it'\''s'`))
	})

	It("has no id where the state has none", func() {
		c := &call{verb: "check", options: parsed(), stdin: strings.NewReader(`{"pid":4711,"status":"running"}`)}
		Expect(c.readTarget()).To(Succeed())
		Expect(c.anew()).To(Equal("netsetgo down -pid=4711; netsetgo up -pid=4711"))
	})

	DescribeTable("is taken by a shell as it was given", func(args ...string) {
		c := &call{verb: "check", options: parsed(args...)}
		line := c.commandLine("up")
		Expect(oneLine(line)).To(Equal(line))
		shell := exec.Command("bash", "--noprofile", "--norc", "-c", `netsetgo() { printf '%s\0' "$@"; }; `+line)
		shell.Stderr = GinkgoWriter
		words := strings.Split(strings.TrimSuffix(string(must(shell.Output())), "\x00"), "\x00")
		Expect(words[0]).To(Equal("up"))
		again := parsed(words[1:]...)
		Expect(again.given).To(Equal(c.options.given))
		Expect(again.netns).To(Equal(c.options.netns))
		Expect(again.config()).To(Equal(must(c.options.config())))
	},
		Entry("with each flag of up", wholeWithoutOutput()...),
		Entry("with spaces and quotes", "-netns", `/run/a b'c"d`, "-id", "'"),
		Entry("with what a shell would do", "-netns", "/run/$(touch pwned)`x`;&|<>*?[!]~#", "-id", `$HOME\`),
		Entry("with an escape sequence", "-netns", "/run/\x1b[31m'\\\n\u009b\xff", "-id", "wéb"),
		Entry("with what looks like a flag", "-netns", "-pid", "-id", "--"),
	)
})

// wholeWithoutOutput is a line with every flag that names a target or is part of what
// is asked for.
func wholeWithoutOutput() []any {
	var line []any
	for _, def := range flagTable {
		if def.group != groupOutput && def.name != "pid" {
			line = append(line, "-"+def.name+"="+values[def.name])
		}
	}
	return line
}
