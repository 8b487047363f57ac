package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// initialised is a line of GODEBUG=inittrace=1 (package runtime).
var initialised = regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock, `)

// initialisers tells what packages do before main, the least of several runs: all together,
// which it returns, and which take longest.
func initialisers(binary string, r *report) (all time.Duration, err error) {
	const runs, shown = 9, 8
	least := map[string]time.Duration{}
	for range runs {
		cmd := exec.Command(binary, "version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("tracing initialisers: %w: %s", err, out)
		}
		for _, line := range initialised.FindAllStringSubmatch(string(out), -1) {
			millis, err := strconv.ParseFloat(line[2], 64)
			if err != nil {
				return 0, fmt.Errorf("tracing initialisers: %w", err)
			}
			took := time.Duration(millis * float64(time.Millisecond))
			if was, ok := least[line[1]]; !ok || took < was {
				least[line[1]] = took
			}
		}
	}
	delete(least, "internal/godebug") // it looks up what GODEBUG has, which is empty else
	names := make([]string, 0, len(least))
	for name, took := range least {
		names, all = append(names, name), all+took
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(least[b], least[a]), cmp.Compare(a, b)) })
	r.printf("\nWhat %d packages do before main, the least of %d runs: microseconds\n  %-46s %8.2f\n", len(names), runs, "all", micro(all))
	for _, name := range names[:min(shown, len(names))] {
		r.printf("  %-46s %8.2f\n", name, micro(least[name]))
	}
	return all, nil
}
