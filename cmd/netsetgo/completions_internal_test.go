package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/netsetgo/netsetgo/ci/testnet"
)

// completing is what bash does with a line whose last word the cursor is in: what
// completes it, a line each, and options for the shell behind a "compopt". That only
// works while somebody types, so that it is replaced.
const completing = `
compopt() { echo "compopt $*"; }
. "$1" || exit
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_netsetgo
[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
`

// completed are the lines of completing, below a command that runs bash; it may be none.
// Whatever is on the line, nothing is run that leaves a file.
func completed(script string, below []string, words ...string) []string {
	GinkgoHelper()
	arguments := slices.Concat(below, []string{"bash", "--noprofile", "--norc", "-c", completing, "bash", script, "netsetgo"}, words)
	shell := exec.Command(arguments[0], arguments[1:]...)
	shell.Dir = GinkgoT().TempDir()
	end := testnet.Finish(shell, "")
	Expect(end.Stderr).To(BeEmpty())
	Expect(end.Code).To(Equal(0))
	Expect(os.ReadDir(shell.Dir)).To(BeEmpty())
	return strings.FieldsFunc(end.Stdout, func(r rune) bool { return r == '\n' })
}

// scriptFile is a file with what `netsetgo completions` prints.
func scriptFile() string {
	GinkgoHelper()
	end := finish("", "completions")
	Expect(end.code).To(Equal(0))
	Expect(end.stderr).To(BeEmpty())
	path := filepath.Join(GinkgoT().TempDir(), "completions")
	Expect(os.WriteFile(path, []byte(end.stdout), 0o600)).To(Succeed())
	return path
}

// dashed are the flags that a verb looks at, as they are typed.
func dashed(verb string) []string {
	flags := []string{"-h"}
	for _, def := range flagTable {
		if slices.Contains(def.verbs, verb) {
			flags = append(flags, "-"+def.name)
		}
	}
	return flags
}

var _ = Describe("the completions", Label("unit"), func() {
	It("are a script of bash, of one function that completes netsetgo", func() {
		script := scriptFile()
		end := testnet.Finish(exec.Command("bash", "--norc", "-n", script), "")
		Expect(end).To(Equal(testnet.Result{}))
		end = testnet.Finish(exec.Command("bash", "--noprofile", "--norc", "-uc", `. "$1"; complete -p; declare -F`, "bash", script), "")
		Expect(end).To(Equal(testnet.Result{Stdout: "complete -F _netsetgo netsetgo\ndeclare -f _netsetgo\n"}))
	})

	DescribeTable("complete", func(expected []string, words ...string) {
		Expect(completed(scriptFile(), nil, words...)).To(ConsistOf(expected))
	},
		Entry("a verb, or a flag of up", slices.Concat(verbNames(), dashed("up")), ""),
		Entry("a verb that has begun", []string{"check", "completions"}, "c"),
		Entry("a verb that is there", []string{"up"}, "up"),
		Entry("no verb that isn't known", []string{}, "x"),
		Entry("no second verb", []string{}, "up", "d"),
		Entry("the flags of up behind it", dashed("up"), "up", ""),
		Entry("the flags of up without it", dashed("up"), "-"),
		Entry("the flags of down", dashed("down"), "down", "-"),
		Entry("the flags of check", dashed("check"), "check", "-"),
		Entry("the flags of list", []string{"-output", "-h"}, "list", ""),
		Entry("the flags of version", []string{"-h"}, "version", "-"),
		Entry("the flags of completions", []string{"-h"}, "completions", "-"),
		Entry("the flags of man", []string{"-h"}, "man", "-"),
		Entry("a flag that has begun", []string{"-bridgeName", "-bridgeAddress"}, "-b"),
		Entry("a flag behind others", []string{"-vethNamePrefix"}, "down", "-pid", "7", "-v", "-ve"),
		Entry("a flag of up behind one without the verb", []string{"-mtu"}, "-pid", "7", "-mt"),
		Entry("no flag of another verb", []string{}, "down", "-bridge"),
		Entry("the forms of the result", []string{"text", "json"}, "-output", ""),
		Entry("a form of the result that has begun", []string{"json"}, "list", "-output", "j"),
		Entry("a form of the result behind a sign", []string{"text", "json"}, "-output", "=", ""),
		Entry("a form of the result right at a sign", []string{"text", "json"}, "-output", "="),
		Entry("a form of the result begun behind a sign", []string{"json"}, "list", "-output", "=", "j"),
		Entry("a file, as bash does", []string{"compopt -o default"}, "up", "-log", "/t"),
		Entry("no number", []string{}, "-pid", ""),
		Entry("no text", []string{}, "check", "-containerAddress", "-"),
		Entry("the flag behind a value", dashed("up"), "-mtu", "1400", ""),
		Entry("the flag behind a switch", []string{"-dryRun"}, "-v", "-dr"),
		Entry("no bridge that isn't there", []string{}, "-bridgeName", "no-such-bridge"),
		Entry("a namespace by its path, as bash does", []string{"compopt -o default"}, "-netns", "/no/such/path"),
	)

	DescribeTable("run nothing that is on the line", func(words ...string) {
		completed(scriptFile(), nil, words...)
	},
		Entry("as a verb", "$(touch pwned)"), Entry("as a verb before others", "`touch pwned`", "-"),
		Entry("as a flag", "up", "-$(touch pwned)"), Entry("as a value", "-output", "$(touch pwned)"),
		Entry("as a name", "-bridgeName", "$(touch pwned)"), Entry("as a pattern", "-bridgeName", "*'\""),
		Entry("before the word", "-x[$(touch pwned)]", "-"),
	)
})

var _ = Describe("the completions of names", Label("root"), func() {
	// below begins a command that sees a host of its own, whose names a shell script makes.
	below := func(names string) []string {
		GinkgoHelper()
		testnet.RequireRoot()
		return []string{
			"unshare", "--mount", "--net", "--", "sh", "-ec",
			"mount -t tmpfs tmpfs /run; mount -t sysfs sysfs /sys; " + names + `; exec "$@"`, "sh",
		}
	}

	const odd = `mkdir /run/netns; cd /run/netns; touch blue black red '$(touch pwned)' '` + "`touch pwned`" + `' 'a b' "it's" '"' 'a;touch pwned' '~'; cd "$OLDPWD"`

	It("are those of namespaces, quoted, and run none of them", func() {
		lines := completed(scriptFile(), below(odd), "-netns", "")
		Expect(lines[0]).To(Equal("compopt -o default"))
		var names []string
		for _, name := range lines[1:] { // as the shell reads what it completed
			names = append(names, string(must(exec.Command("bash", "--norc", "-c", "printf %s "+name).Output())))
		}
		Expect(names).To(ConsistOf("blue", "black", "red", "$(touch pwned)", "`touch pwned`", "a b", "it's", `"`, "a;touch pwned", "~"))
	})

	It("are only those that begin with what was typed", func() {
		Expect(completed(scriptFile(), below(odd), "down", "-netns", "bl")).To(ConsistOf("compopt -o default", "blue", "black"))
		Expect(completed(scriptFile(), below(odd), "down", "-netns", "*")).To(ConsistOf("compopt -o default"))
	})

	DescribeTable("are none where there is no namespace", func(names string) {
		Expect(completed(scriptFile(), below(names), "-netns", "")).To(ConsistOf("compopt -o default"))
	},
		Entry("nor their folder", "true"), Entry("but their folder", "mkdir /run/netns"),
	)

	It("are none where there is no bridge", func() {
		Expect(completed(scriptFile(), below("ip link add toad type veth peer name frog"), "-bridgeName", "")).To(BeEmpty())
	})

	It("are those of bridges", func() {
		names := "ip link add tower type bridge; ip link add tomb type bridge; ip link add toad type veth peer name frog"
		Expect(completed(scriptFile(), below(names), "-bridgeName", "")).To(ConsistOf("tower", "tomb"))
		Expect(completed(scriptFile(), below(names), "check", "-bridgeName", "tow")).To(ConsistOf("tower"))
		Expect(completed(scriptFile(), below(names), "check", "-bridgeName", "toa")).To(BeEmpty())
	})
})
