package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// verb is something that netsetgo can be told to do.
type verb struct {
	name    string
	usage   string // how it is written
	brief   string
	about   string
	example string
}

const hookAbout = `Without -pid and -netns, the container is the one whose OCI state a runtime
writes to standard input: netsetgo is a hook for prestart, createRuntime and
poststop, and without a verb up or down follows from the state.
`

var verbs = []verb{
	{"up", "[up] [flags]", "connect a container", hookAbout, "netsetgo -pid 4711 -bridgeName lab0 -bridgeAddress 10.20.0.1/24 -v"},
	{"down", "down [flags]", "disconnect it", `The attachment of one container interface is taken down: name the same one as
for up. Finding none is no error. The flags of up that aren't here are
accepted, so that one line of flags serves both.
`, "netsetgo down -id web -containerInterface eth0"},
	{"check", "check [flags]", "compare what is there with what the flags ask for; change nothing", `Prints a line for each difference, with the command that mends it, and then
exits 3. Without a target, it looks at the host: what keeps the bridges of
netsetgo from working, and which command mends it.
`, "netsetgo check -pid 4711 -bridgeName lab0 -bridgeAddress 10.20.0.1/24"},
	{"list", "list [flags]", "every attachment on this host", "", "netsetgo list -output json"},
	{"version", "version", "which netsetgo this is", "", "netsetgo version"},
	{"completions", "completions", "print completions for bash", "", ". <(netsetgo completions)"},
	{"man", "man", "print the manual page", "", "netsetgo man | man -l -"},
}

func verbNames() []string {
	var names []string
	for _, verb := range verbs {
		names = append(names, verb.name)
	}
	return names
}

func findVerb(name string) (verb, bool) {
	at := slices.IndexFunc(verbs, func(verb verb) bool { return verb.name == name })
	if at < 0 {
		return verb{}, false
	}
	return verbs[at], true
}

// synopsis prints one line for each verb.
func synopsis(w io.Writer) {
	for i, verb := range verbs {
		lead := "      "
		if i == 0 {
			lead = "usage:"
		}
		_, _ = fmt.Fprintf(w, "%s netsetgo %-15s %s\n", lead, verb.usage, verb.brief)
	}
	_, _ = fmt.Fprintf(w, "\nnetsetgo VERB -h shows the flags of a verb.\n")
}

// help prints what a verb does and the flags that it looks at, group by group.
func (v verb) help(w io.Writer) error {
	var text bytes.Buffer
	if v.name == verbs[0].name {
		synopsis(&text)
	} else {
		_, _ = fmt.Fprintf(&text, "usage: netsetgo %s    %s\n", v.usage, v.brief)
	}
	if v.about != "" {
		_, _ = fmt.Fprintf(&text, "\n%s", v.about)
	}
	for _, group := range groups {
		first := true
		for _, def := range v.flags(group) {
			if first {
				_, _ = fmt.Fprintf(&text, "\n%s:\n", group)
			}
			first = false
			_, _ = fmt.Fprintf(&text, "  %s\n        %s\n", def.synopsis(), def.describe())
		}
	}
	if v.example != "" {
		_, _ = fmt.Fprintf(&text, "\nexample:\n  %s\n", v.example)
	}
	if _, err := w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("printing help: %w", err)
	}
	return nil
}

// flags are those of a group that a verb looks at.
func (v verb) flags(group string) []flagDef {
	return slices.DeleteFunc(slices.Clone(flagTable), func(def flagDef) bool {
		return def.group != group || !slices.Contains(def.verbs, v.name)
	})
}

func (d flagDef) synopsis() string {
	switch {
	case d.fallback == "true":
		return "-" + d.name + "[=false]"
	case d.value == "":
		return "-" + d.name
	}
	return "-" + d.name + " " + d.value
}

func (d flagDef) describe() string {
	if d.fallback == "" {
		return d.about
	}
	return fmt.Sprintf("%s (default %s)", d.about, d.fallback)
}
