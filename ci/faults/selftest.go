package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/netsetgo/netsetgo/ci/testbed"
)

// breakage is a fault of netsetgo's that this program has to find. It says in which scenario
// what kind of fault shows it, and what is told then.
type breakage struct {
	testbed.Breakage
	scenario, kind, shows string
}

var breakages = []breakage{
	{
		testbed.Breakage{
			What: "a bridge isn't undone",
			File: "configurer/bridge.go", From: "r.unlessUsed(change.Name, r.retire)", Into: "nil",
		},
		"up, NAT, IPv6 and a port", "error", "+link brg0",
	},
	{
		testbed.Breakage{
			What: "a change whose answer was lost isn't undone",
			File: "configurer/run.go", From: "(err == nil || errors.Is(err, ErrUnknown))", Into: "err == nil",
		},
		"up, NAT, IPv6 and a port", "error", "it failed",
	},
	{
		testbed.Breakage{
			What: "a sendto that was interrupted isn't made again",
			File: "configurer/kernel/socket.go", From: "if !errors.Is(err, unix.EINTR) {\n\t\t\tif err != nil {", Into: "if true {\n\t\t\tif err != nil {",
		},
		"up, NAT, IPv6 and a port", "error", "it isn't made again",
	},
	{
		testbed.Breakage{
			What: "what a killed run left isn't cleared away",
			File: "configurer/pair.go", From: "if err == nil && again.Index == host.Index {", Into: "if err == nil && again.Index != host.Index {",
		},
		"up, NAT, IPv6 and a port", "kill", "the same run again fails",
	},
	{
		testbed.Breakage{
			What: "of several requests only the first one's refusal counts",
			File: "configurer/run.go", From: "if err != nil && failed == nil {", Into: "if err != nil && i == 0 {",
		},
		"up, on a bridge that others use", "refusal", "the result isn't as without a fault",
	},
	{
		testbed.Breakage{
			What: "what the kernel refuses is taken for done",
			File: "configurer/run.go", From: "if err != nil && failed == nil {", Into: "if err != nil && len(steps) < 0 {",
		},
		"down, NAT, IPv6 and a port", "refusal", "the result isn't as without a fault",
	},
	{
		testbed.Breakage{
			What: "what a down took out of the rules isn't undone",
			File: "configurer/publish.go", From: "steps[i].undo = r.whileThere(hostLink.Index, AddElements(step.change.(DeleteElements)))", Into: "_, _ = i, step",
		},
		"down, NAT, IPv6 and a port", "error", "it failed",
	},
	{
		testbed.Breakage{
			What: "what has no way back is tried once",
			File: "configurer/remove.go", From: "if err != nil && r.inTime() == nil {", Into: "if err != nil && r.inTime() != nil {",
		},
		"hook: stopped", "error", "it failed",
	},
	{
		testbed.Breakage{
			What: "of an answer that was lost the rest is left unread",
			File: "configurer/kernel/socket.go", From: "\t\t\ts.skip()\n", Into: "",
		},
		"hook: stopped", "error", "device or resource busy",
	},
	{
		testbed.Breakage{
			What: "a down that has begun ends where its time is over",
			File: "configurer/remove.go", From: "!r.config.Deadline.IsZero() && end.After(r.config.Deadline)", Into: "end.IsZero()",
		},
		"down, NAT, IPv6 and a port", "delay", "it failed",
	},
	{
		testbed.Breakage{
			What: "a down by an id leaves bridges that nobody is on",
			File: "configurer/remove.go", From: "if err := r.sweep(); err != nil {", Into: "if r.container == nil {\n\t\treturn nil\n\t}\n\tif err := r.sweep(); err != nil {",
		},
		"up, NAT, IPv6 and a port", "end", "after the container's end and a down, something is left",
	},
	{
		testbed.Breakage{
			What: "the time given by -timeout is never over",
			File: "configurer/run.go", From: "return errTimeout", Into: "return nil",
		},
		"hook: created", "delay", "it went on to",
	},
	{
		testbed.Breakage{
			What: "a process is left",
			File: "configurer/run.go", From: "_ = r.lock.Release()", Into: `_, _ = os.StartProcess("/bin/sleep", []string{"sleep", "5"}, &os.ProcAttr{})`,
		},
		"up again", "error", "process ",
	},
}

// testItself builds netsetgo with each breakage, and looks whether that is found; several
// beside each other.
func testItself(o options) error {
	found := make([]error, len(breakages))
	places := make(chan struct{}, o.jobs)
	var all sync.WaitGroup
	for i, b := range breakages {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			found[i] = b.find(o)
		})
	}
	all.Wait()
	for i, b := range breakages {
		if found[i] == nil {
			_, _ = fmt.Fprintf(os.Stdout, "found, as it should be: %s\n", b.What)
		}
	}
	return errors.Join(found...)
}

func (b breakage) find(o options) error {
	folder, err := os.MkdirTemp("", "faults")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	o.binary, o.sample, o.first, o.every, o.from, o.kind = filepath.Join(folder, "netsetgo"), true, true, 1, 1, b.kind
	if err := b.Build(folder, o.binary); err != nil {
		return fmt.Errorf("%s: %w", b.What, err)
	}
	_, told, err := o.start(b.scenario)
	if err == nil || !strings.Contains(told, b.shows) {
		return fmt.Errorf("%s, and that isn't found: %q", b.What, told)
	}
	return nil
}
