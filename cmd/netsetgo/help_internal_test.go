package main

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo"
)

// values are one for each flag, that could be given to `up`.
var values = map[string]string{
	"pid": "4711", "netns": "blue", "id": "web",
	"bridgeAddress": "10.20.0.1/24", "containerAddress": "10.20.0.7/24", "route": "192.168.0.0/16,via=10.20.0.9,metric=7", "defaultRoute": "false",
	"bridgeName": "lab0", "vethNamePrefix": "v", "containerInterface": "eth0", "mtu": "1400", "mac": "02:00:00:00:00:01",
	"nat": "false", "allowInbound": "true", "isolated": "true", "spoofCheck": "false", "publish": "192.0.2.1:8080-8081:80/udp",
	"output": "text", "v": "true", "dryRun": "true", "log": "/tmp/log", "timeout": "3s",
}

// wholeLine is a line with every flag but the given ones.
func wholeLine(without ...string) []string {
	GinkgoHelper()
	var line []string
	for _, def := range flagTable {
		Expect(values).To(HaveKey(def.name))
		if !slices.Contains(without, def.name) {
			line = append(line, "-"+def.name+"="+values[def.name])
		}
	}
	return line
}

// section is a part of a help: a group and the flags below it, two lines for each.
type section struct {
	group string
	lines []string
}

// helpOf is what `-h` of a verb prints, and the groups of flags in it.
func helpOf(verb string) (string, []section) {
	GinkgoHelper()
	end := finish("", verb, "-h")
	Expect(end.code).To(Equal(0))
	Expect(end.stderr).To(BeEmpty())
	var found []section
	for paragraph := range strings.SplitSeq(strings.TrimSuffix(end.stdout, "\n"), "\n\n") {
		lines := strings.Split(paragraph, "\n")
		if group, ok := strings.CutSuffix(lines[0], ":"); ok && group != "example" {
			found = append(found, section{group, lines[1:]})
		}
	}
	return end.stdout, found
}

// flagsShown are the flags of a help's groups, by name only.
func flagsShown(sections []section) map[string][]string {
	shown := map[string][]string{}
	for _, section := range sections {
		for line := range slices.Chunk(section.lines, 2) {
			shown[section.group] = append(shown[section.group], strings.Fields(line[0])[0])
		}
	}
	return shown
}

// ofEachVerb calls a function for each verb of its own name.
func ofEachVerb(check func(verb verb)) []any {
	entries := []any{check}
	for _, verb := range verbs {
		entries = append(entries, Entry(verb.name, verb))
	}
	return entries
}

var _ = Describe("the table of flags", Label("unit"), func() {
	It("has each flag once, in words put together like this: camelCase", func() {
		var names []string
		for _, def := range flagTable {
			Expect(def.name).To(MatchRegexp(`\A[a-z]+([A-Z][a-z]+)*\z`))
			Expect(names).NotTo(ContainElement(def.name))
			names = append(names, def.name)
		}
	})

	It("says of each what it is for, to which group it belongs and who looks at it", func() {
		for _, def := range flagTable {
			Expect(def.about).To(MatchRegexp(`\A\S.*[^\s.]\z`), def.name)
			Expect(groups).To(ContainElement(def.group), def.name)
			Expect(def.verbs).NotTo(BeEmpty(), def.name)
			Expect(verbNames()).To(ContainElements(def.verbs), def.name)
			Expect(def.into(&options{})).NotTo(BeNil(), def.name)
		}
	})

	It("names defaults that are the real ones", func() {
		fallback := map[string]string{}
		for _, def := range flagTable {
			fallback[def.name] = def.fallback
		}
		config, options := netsetgo.NetworkConfig{}.WithDefaults(), parsed()
		Expect(fallback).To(HaveKeyWithValue("bridgeName", config.BridgeName))
		Expect(fallback).To(HaveKeyWithValue("bridgeAddress", config.Families()[0].Gateway.String()))
		Expect(fallback).To(HaveKeyWithValue("vethNamePrefix", config.VethNamePrefix))
		Expect(fallback).To(HaveKeyWithValue("output", options.output))
		Expect(fallback).To(HaveKeyWithValue("timeout", options.timeout.String()))
		Expect(fallback).To(HaveKeyWithValue("defaultRoute", "true"))
		Expect(config.AllRoutes()).To(ContainElement(HaveField("Destination.String()", "0.0.0.0/0")))
		for name, choice := range map[string]netsetgo.Choice{
			"nat": config.NAT, "allowInbound": config.AllowInbound, "isolated": config.Isolated, "spoofCheck": config.SpoofCheck,
		} {
			Expect(fallback).To(HaveKeyWithValue(name, strconv.FormatBool(choice == netsetgo.Yes)))
		}
		Expect(fallback).To(HaveKeyWithValue("containerInterface", "PREFIX1"))
		Expect(config.ContainerInterface).To(Equal(config.VethNamePrefix + "1"))
	})

	It("has for a shell only values that are taken", func() {
		for _, def := range flagTable {
			if slices.Contains([]string{"", completeFile, completeNamespace, completeBridge}, def.complete) {
				continue
			}
			for choice := range strings.FieldsSeq(def.complete) {
				_, err := parse(verbs[0], []string{"-" + def.name, choice}, io.Discard)
				Expect(err).NotTo(HaveOccurred())
			}
		}
	})

	DescribeTable("lets one line of flags serve up, down and check", func(without string) {
		line := wholeLine(without)
		expected := parsed(line...)
		Expect(expected.hasTarget()).To(BeTrue())
		for _, name := range []string{"up", "down", "check"} {
			verb, ok := findVerb(name)
			Expect(ok).To(BeTrue())
			options, err := parse(verb, line, io.Discard)
			Expect(err).NotTo(HaveOccurred())
			Expect(options.given).To(Equal(expected.given))
			Expect(options.config()).To(Equal(must(expected.config())))
		}
	},
		Entry("for a pid", "netns"), Entry("for a namespace", "pid"),
	)

	DescribeTable("lets no other verb have a flag that it doesn't look at", func(name string, own ...string) {
		refused := 0
		for _, def := range flagTable {
			if slices.Contains(own, def.name) {
				continue // with this one it would go on to the kernel
			}
			refused++
			end := finish("", name, "-"+def.name+"="+values[def.name])
			Expect(end.code).To(Equal(2))
			Expect(end.stdout).To(BeEmpty())
			Expect(end.stderr).To(MatchRegexp(`\Anetsetgo: unknown flag "-` + def.name + `=[^\n]+" of ` + name + `\b[^\n]*\n\z`))
		}
		Expect(refused).To(Equal(len(flagTable) - len(own)))
	},
		Entry(nil, "list", "output"), Entry(nil, "version"), Entry(nil, "completions"), Entry(nil, "man"),
	)
})

// must is a value that comes without an error.
func must[T any](value T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return value
}

var _ = Describe("the help", Label("unit"), func() {
	DescribeTable("shows the flags that a verb looks at, with their defaults, group by group", ofEachVerb(func(verb verb) {
		var expected []section
		for _, group := range groups {
			var lines []string
			for _, def := range flagTable {
				if def.group != group || !slices.Contains(def.verbs, verb.name) {
					continue
				}
				about := def.about
				if def.fallback != "" {
					about += " (default " + def.fallback + ")"
				}
				lines = append(lines, "  "+def.synopsis(), "        "+about)
			}
			if lines != nil {
				expected = append(expected, section{group, lines})
			}
		}
		_, sections := helpOf(verb.name)
		Expect(sections).To(Equal(expected))
	})...)

	DescribeTable("has these flags", func(verb string, expected map[string][]string) {
		_, sections := helpOf(verb)
		Expect(flagsShown(sections)).To(Equal(expected))
	},
		Entry(nil, "down", map[string][]string{
			"target": {"-pid", "-netns", "-id"}, "link": {"-vethNamePrefix", "-containerInterface"},
			"output": {"-v", "-dryRun", "-log", "-timeout"},
		}),
		Entry(nil, "check", map[string][]string{
			"target":    {"-pid", "-netns", "-id"},
			"addresses": {"-bridgeAddress", "-containerAddress", "-route", "-defaultRoute[=false]"},
			"link":      {"-bridgeName", "-vethNamePrefix", "-containerInterface", "-mtu", "-mac"},
			"firewall":  {"-nat[=false]", "-allowInbound", "-isolated", "-spoofCheck[=false]", "-publish"},
			"output":    {"-output", "-log", "-timeout"},
		}),
		Entry(nil, "list", map[string][]string{"output": {"-output"}}),
		Entry(nil, "version", map[string][]string{}),
	)

	DescribeTable("begins with how a verb is written", ofEachVerb(func(verb verb) {
		text, _ := helpOf(verb.name)
		first, _, _ := strings.Cut(text, "\n")
		Expect(first).To(MatchRegexp(`\Ausage: netsetgo (\[up\]|` + verb.name + `)( \[flags\])?  +\S`))
		Expect(text).To(ContainSubstring(verb.about))
		Expect(text).To(HaveSuffix("\n"))
	})...)

	It("of up has every verb", func() {
		text, _ := helpOf("up")
		for _, verb := range verbs {
			Expect(text).To(MatchRegexp(`(?m)^(usage:|      ) netsetgo \[?` + verb.name + `\b.*  ` + verb.brief + `$`))
		}
	})

	DescribeTable("ends with an example that can be typed", ofEachVerb(func(verb verb) {
		text, _ := helpOf(verb.name)
		_, example, has := strings.Cut(text, "\nexample:\n  ")
		Expect(has).To(BeTrue())
		Expect(example).To(Equal(verb.example + "\n"))
		// One is a shell's line with other commands in it.
		command, _, _ := strings.Cut(strings.Trim(strings.TrimSpace(example), ".< ()"), " | ")
		words := strings.Fields(command)
		Expect(words[0]).To(Equal("netsetgo"))
		words = words[1:]
		if words[0] == verb.name {
			words = words[1:]
		} else {
			Expect(verb.name).To(Equal("up"))
		}
		options, err := parse(verb, words, io.Discard)
		Expect(err).NotTo(HaveOccurred())
		config := must(options.config())
		Expect(config.Validate()).To(Succeed())
	})...)

	DescribeTable("is printed on standard output, whatever else is on the line", func(args ...string) {
		end := finish("", args...)
		Expect(end.code).To(Equal(0))
		Expect(end.stdout).To(HavePrefix("usage: netsetgo " + args[0]))
		Expect(end.stderr).To(BeEmpty())
	},
		Entry(nil, "down", "-pid", "7", "-h"), Entry(nil, "check", "-h", "-nope"),
		Entry(nil, "list", "-output", "yaml", "--help"), Entry(nil, "man", "-help"), Entry(nil, "version", "--h", "x"),
	)

	It("that can't be printed is a failure", func() {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(full.Close)
		var stderr strings.Builder
		Expect(run([]string{"-h"}, strings.NewReader(""), full, &stderr)).To(Equal(1))
		Expect(stderr.String()).To(HavePrefix("netsetgo: printing help: "))
	})
})
