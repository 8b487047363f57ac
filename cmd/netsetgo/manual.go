package main

import (
	"fmt"
	"strings"
)

// manual is the manual page, in the language of man(7).
func manual() string {
	var page strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&page, format+"\n", args...) }
	line(`.TH NETSETGO 8`)
	line(`.SH NAME`)
	line(`netsetgo \- give a container's network namespace a working network`)
	line(`.SH SYNOPSIS`)
	for i, verb := range verbs {
		if i > 0 {
			line(".br")
		}
		line(".B netsetgo\n%s", roff(verb.usage))
	}
	line(`.SH DESCRIPTION`)
	line("%s", roff(manualAbout))
	line(`.SH VERBS`)
	for _, verb := range verbs {
		line(".TP\n.B %s\n%s\n%s", roff(verb.name), roff(sentence(verb.brief)), roff(verb.about))
		if verb.example != "" {
			line("Example:\n.IP\n.B %s", roff(verb.example))
		}
	}
	line(`.SH FLAGS`)
	for _, group := range groups {
		line(".SS %s", title(group))
		for _, def := range flagTable {
			if def.group != group {
				continue
			}
			line(".TP\n.BI \"%s \" \"%s\"\n%s Looked at by %s.", roff("-"+def.name), roff(def.value),
				roff(sentence(def.describe())), roff(strings.Join(def.verbs, ", ")))
		}
	}
	line(`.SH EXIT STATUS`)
	for _, status := range []struct {
		code  int
		about string
	}{
		{exitDone, "Done."},
		{exitFailed, "Failed. What up did is undone, but for the empty lock file. Standard error has one line that says why."},
		{exitUsage, "The command line can't be understood."},
		{exitDifferent, "check found a difference."},
	} {
		line(".TP\n.B %d\n%s", status.code, roff(status.about))
	}
	line(".SH FILES\n.TP\n.I /run/netsetgo.lock\n%s", roff("An empty file, locked by the runs of one host."))
	line(".SH SEE ALSO\n.BR ip (8),\n.BR ip-netns (8),\n.BR nsenter (1)")
	return page.String()
}

const manualAbout = `It makes a bridge on the host, a pair of veth with one end on the bridge and
the other in the container, leases an address, and adds a default route. It
runs once and exits; what has to be remembered is in the names of the links.
`

func sentence(text string) string { return title(text) + "." }

func title(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// roff keeps a text from being taken for requests: a hyphen is one, and no line
// begins with a dot or a quote.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `"`, `\(dq`).Replace(strings.TrimSpace(text))
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
