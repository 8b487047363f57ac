package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/netsetgo/netsetgo/ci/testbed"
)

// breakage is a fault of netsetgo's that this program has to find. It says what kind of fault
// shows it, and what is told then.
type breakage struct {
	testbed.Breakage
	kind, shows string
}

var breakages = []breakage{
	{
		testbed.Breakage{
			What: "a bridge isn't undone",
			File: "configurer/bridge.go", From: "r.unlessUsed(change.Name, r.retire)", Into: "nil",
		},
		"error", "+link brg0",
	},
	{
		testbed.Breakage{
			What: "a change whose answer was lost isn't undone",
			File: "configurer/run.go", From: "(err == nil || errors.Is(err, ErrUnknown))", Into: "err == nil",
		},
		"error", "it failed",
	},
	{
		testbed.Breakage{
			What: "a sendto that was interrupted isn't made again",
			File: "configurer/kernel/socket.go", From: "if !errors.Is(err, unix.EINTR) {\n\t\t\tif err != nil {", Into: "if true {\n\t\t\tif err != nil {",
		},
		"error", "it isn't made again",
	},
	{
		testbed.Breakage{
			What: "what a killed run left isn't cleared away",
			File: "configurer/pair.go", From: "if err == nil && again.Index == host.Index {", Into: "if err == nil && again.Index != host.Index {",
		},
		"kill", "the same run again fails",
	},
}

// testItself builds netsetgo with each breakage, and looks whether that is found.
func testItself(o options) error {
	folder, err := os.MkdirTemp("", "faults")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	o.binary, o.sample, o.first, o.every, o.from = filepath.Join(folder, "netsetgo"), true, true, 1, 1
	for _, b := range breakages {
		if err := b.Build(folder, o.binary); err != nil {
			return fmt.Errorf("%s: %w", b.What, err)
		}
		o.kind = b.kind
		_, told, err := o.start(scenarios[0].name)
		if err == nil || !strings.Contains(told, b.shows) {
			return fmt.Errorf("%s, and that isn't found: %q", b.What, told)
		}
		_, _ = fmt.Fprintf(os.Stdout, "found, as it should be: %s\n", b.What)
	}
	return nil
}
