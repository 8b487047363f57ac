package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/netsetgo/netsetgo/ci/testbed"
)

// breakage is a fault of netsetgo's that this program has to find, soon after a seed. What is
// told then is like shows (regexp/syntax).
type breakage struct {
	testbed.Breakage
	seed  uint64
	shows string
}

var breakages = []breakage{
	{testbed.Breakage{
		What: "ports of containers that are gone aren't taken away",
		File: "configurer/sweep.go", From: "\t\t\tif isGone[addr] {\n\t\t\t\tstale", Into: "\t\t\tif false {\n\t\t\t\tstale",
	}, 1, "it can't come out so|port .* should lead"},
	{testbed.Breakage{
		What: "the lock isn't taken",
		File: "configurer/run.go", From: "lock, err := r.kernel.TryLock(r.lock, exclusive)", Into: "lock, err := r.lock, error(nil)",
	}, 1, ""}, // runs that meet come to anything
	{testbed.Breakage{
		What: "a host link isn't undone",
		File: "configurer/pair.go", From: "r.undoPair(change)", Into: "nil",
	}, 1, "incomplete host link"},
	{testbed.Breakage{
		What: "a bridge isn't undone",
		File: "configurer/bridge.go", From: "r.unlessUsed(change.Name, r.retire)", Into: "nil",
	}, 7, "left bridges that nobody is on"},
	{testbed.Breakage{
		What: "what a killed run left isn't cleared away",
		File: "configurer/pair.go", From: "if err == nil && again.Index == host.Index {", Into: "if err == nil && again.Index != host.Index {",
	}, 3, "incomplete host link"},
	{testbed.Breakage{
		What: "an up again doesn't mend the rules",
		File: "configurer/host.go", From: "if bridge, err = r.protect(bridge, own); err != nil || bridge", Into: "if len(own) < 0 || bridge",
	}, 6, "rules of table .* is missing|port .* should lead"},
	{testbed.Breakage{
		What: "the last one out doesn't put back sysctls",
		File: "configurer/retire.go", From: "if !ok || stays {", Into: "if ok || stays {",
	}, 1, "forwarding: 0 -> 1"},
}

// testItself builds netsetgo with each breakage, and looks whether that is found within some
// rounds of seeds that are always the same. It ends with the first that finds it; without the
// lock, it takes runs that meet, and on a slow machine a minute has few rounds.
func testItself() error {
	const patience = 5 * time.Minute
	folder, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary := filepath.Join(folder, "netsetgo")
	for _, b := range breakages {
		if err := b.Build(folder, binary); err != nil {
			return fmt.Errorf("%s: %w", b.What, err)
		}
		err := soak(binary, patience, b.seed, io.Discard)
		if !errors.Is(err, errBroken) || !regexp.MustCompile(b.shows).MatchString(err.Error()) {
			return fmt.Errorf("%s, and that isn't found: %w", b.What, cmp.Or(err, errors.New("all was as it must be")))
		}
		_, _ = fmt.Fprintf(os.Stdout, "found, as it should be: %s: %v\n", b.What, err)
	}
	return nil
}
