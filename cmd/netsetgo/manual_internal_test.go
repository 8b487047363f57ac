package main

import (
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// printedManual is what `netsetgo man` prints.
func printedManual() string {
	GinkgoHelper()
	end := finish("", "man")
	Expect(end.code).To(Equal(0))
	Expect(end.stderr).To(BeEmpty())
	return end.stdout
}

// chapters are the parts of a manual page by their titles.
func chapters(page string) map[string]string {
	found := map[string]string{}
	for chapter := range strings.SplitSeq(page, "\n.SH ") {
		title, text, _ := strings.Cut(chapter, "\n")
		found[title] = text
	}
	return found
}

var _ = Describe("the manual", Label("unit"), func() {
	It("has a title, and the chapters that are expected of it", func() {
		page := printedManual()
		Expect(page).To(HavePrefix(".TH NETSETGO 8\n.SH NAME\nnetsetgo \\- "))
		Expect(page).To(HaveSuffix("\n"))
		for _, title := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "VERBS", "FLAGS", "EXIT STATUS", "FILES", "SEE ALSO"} {
			Expect(chapters(page)).To(HaveKeyWithValue(title, MatchRegexp(`\S`)))
		}
	})

	It("has every verb, how it is written, what it does, and an example", func() {
		parts := chapters(printedManual())
		for _, verb := range verbs {
			Expect(parts["SYNOPSIS"]).To(ContainSubstring(".B netsetgo\n" + roff(verb.usage)))
			_, text, found := strings.Cut(parts["VERBS"]+"\n.TP", ".TP\n.B "+verb.name+"\n")
			Expect(found).To(BeTrue(), verb.name)
			text, _, _ = strings.Cut(text, "\n.TP")
			Expect(text).To(HavePrefix(roff(sentence(verb.brief)) + "\n"))
			Expect(text).To(ContainSubstring(roff(verb.about)))
			Expect(strings.Contains(text, "\nExample:\n")).To(Equal(verb.example != ""))
			Expect(text).To(ContainSubstring(roff(verb.example)))
		}
	})

	It("has every flag in its group, with its value, its default, and who looks at it", func() {
		groupsOfFlags := map[string]string{}
		for group := range strings.SplitSeq(chapters(printedManual())["FLAGS"], ".SS ") {
			title, text, _ := strings.Cut(group, "\n")
			groupsOfFlags[strings.ToLower(strings.Trim(title, "."))] = text + ".TP"
		}
		count := 0
		for _, group := range groups {
			Expect(groupsOfFlags).To(HaveKey(group))
			count += strings.Count(groupsOfFlags[group], ".BI ")
		}
		Expect(count).To(Equal(len(flagTable)))
		for _, def := range flagTable {
			_, text, found := strings.Cut(groupsOfFlags[def.group], ".TP\n.BI \"\\-"+def.name+" \" \""+roff(def.value)+"\"\n")
			Expect(found).To(BeTrue(), def.name)
			text, _, _ = strings.Cut(text, ".TP")
			Expect(text).To(ContainSubstring(roff(sentence(def.describe()))))
			Expect(text).To(ContainSubstring(roff(def.fallback)))
			Expect(strings.TrimSpace(text)).To(HaveSuffix(" Looked at by " + strings.Join(def.verbs, ", ") + "."))
		}
	})

	It("has every exit status", func() {
		text := chapters(printedManual())["EXIT STATUS"]
		Expect(strings.Count(text, ".TP\n")).To(Equal(4))
		for status, words := range map[int]string{exitDone: "Done", exitFailed: "Failed", exitUsage: "command line", exitDifferent: "difference"} {
			Expect(text).To(MatchRegexp(`\.TP\n\.B %d\n.*%s`, status, words))
		}
	})

	It("has no line that is a request by mistake", func() {
		known := []string{".TH", ".SH", ".SS", ".TP", ".IP", ".B", ".I", ".BI", ".BR", ".br"}
		for line := range strings.Lines(printedManual()) {
			Expect(line).NotTo(HavePrefix("'"))
			if strings.HasPrefix(line, ".") {
				Expect(known).To(ContainElement(strings.Fields(line)[0]), line)
			}
		}
	})

	DescribeTable("keeps a text as it is", func(text, expected string) {
		Expect(roff(text)).To(Equal(expected))
	},
		Entry("plain", "a b", "a b"),
		Entry("empty", "", ""),
		Entry("with hyphens", "-a a-b", `\-a a\-b`),
		Entry("with a dot at the start", ".so /etc/passwd", `\&.so /etc/passwd`),
		Entry("with a dot at the start of a later line", "a\n.so x\nb.", "a\n\\&.so x\nb."),
		Entry("with a quote at the start", "'a'", `\&'a'`),
		Entry("with a quote at the start of a later line", "a\n'b", "a\n\\&'b"),
		Entry("with dots and quotes elsewhere", "a .b 'c' d.", "a .b 'c' d."),
		Entry("with backslashes", `\fBa\n`, `\efBa\en`),
		Entry("with a backslash before a hyphen", `\-`, `\e\-`),
		Entry("with a backslash at the start", `\.so x`, `\e.so x`),
		Entry("with space around it", "\n .a \n", `\&.a`),
	)

	It("ends every sentence", func() {
		Expect(printedManual()).To(ContainSubstring("(default 10s). Looked at by up, down, check."))
		Expect(printedManual()).NotTo(MatchRegexp(`\.SS .*\.\n`), "a heading is none")
		Expect(roff(`say "so"`)).To(Equal(`say \(dqso\(dq`))
	})

	// Where there is no groff this spec isn't either: nothing depends on it but the page's look.
	if _, err := exec.LookPath("groff"); err == nil {
		It("is understood by groff, and shows every flag and verb", func() {
			end := testnet.Finish(exec.Command("groff", "-man", "-Tascii", "-ww", "-P-cbou"), printedManual())
			Expect(end.Stderr).To(BeEmpty())
			Expect(end.Code).To(Equal(0))
			lines := strings.Split(end.Stdout, "\n")
			for _, def := range flagTable {
				Expect(lines).To(ContainElement(HavePrefix("       -" + strings.TrimSuffix(def.name+" "+def.value, " "))))
			}
			for _, verb := range verbs {
				Expect(lines).To(ContainElement(MatchRegexp(`^       ` + verb.name + `( |$)`)))
				Expect(strings.Join(strings.Fields(end.Stdout), " ")).To(ContainSubstring(verb.example))
			}
		})
	}
})
