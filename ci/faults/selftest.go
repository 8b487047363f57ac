package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// breakage is a fault of netsetgo's that this program has to find: a text of a file that is
// replaced. It says what kind of fault shows it, and what is told then.
type breakage struct {
	what             string
	file, from, into string
	kind, shows      string
}

var breakages = []breakage{
	{
		what: "a bridge isn't undone", kind: "error", shows: "+link brg0",
		file: "configurer/bridge.go", from: "r.unlessUsed(change.Name, r.retire)", into: "nil",
	},
	{
		what: "a change whose answer was lost isn't undone", kind: "error", shows: "it failed",
		file: "configurer/run.go", from: "(err == nil || errors.Is(err, ErrUnknown))", into: "err == nil",
	},
	{
		what: "a sendto that was interrupted isn't made again", kind: "error", shows: "it isn't made again",
		file: "configurer/kernel/socket.go", from: "if !errors.Is(err, unix.EINTR) {\n\t\t\tif err != nil {", into: "if true {\n\t\t\tif err != nil {",
	},
	{
		what: "what a killed run left isn't cleared away", kind: "kill", shows: "the same run again fails",
		file: "configurer/pair.go", from: "if err == nil && again.Index == host.Index {", into: "if err == nil && again.Index != host.Index {",
	},
}

// testItself builds netsetgo with each breakage, and looks whether that is found.
func testItself(o options) error {
	folder, err := os.MkdirTemp("", "faults")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	o.binary, o.sample, o.first = filepath.Join(folder, "netsetgo"), true, true
	for _, b := range breakages {
		if err := b.build(folder, o.binary); err != nil {
			return fmt.Errorf("%s: %w", b.what, err)
		}
		o.kind = b.kind
		_, told, err := o.start(scenarios[0].name)
		if err == nil || !strings.Contains(told, b.shows) {
			return fmt.Errorf("%s, and that isn't found: %q", b.what, told)
		}
		_, _ = fmt.Fprintf(os.Stdout, "found, as it should be: %s\n", b.what)
	}
	return nil
}

// build builds netsetgo with the breakage, which the tree doesn't get.
func (b breakage) build(folder, binary string) error {
	text, err := os.ReadFile(b.file)
	if err != nil {
		return err
	}
	if strings.Count(string(text), b.from) != 1 {
		return fmt.Errorf("%s doesn't have %q just once", b.file, b.from)
	}
	broken := filepath.Join(folder, "broken.go")
	file, err := filepath.Abs(b.file)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: broken}})
	if err != nil {
		return err
	}
	list := filepath.Join(folder, "overlay.json")
	if err := errors.Join(
		os.WriteFile(broken, []byte(strings.Replace(string(text), b.from, b.into, 1)), 0o600),
		os.WriteFile(list, overlay, 0o600),
	); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-overlay", list, "-o", binary, "./cmd/netsetgo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building: %w: %s", err, out)
	}
	return nil
}
