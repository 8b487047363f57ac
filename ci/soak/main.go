// Command soak lets containers come and go on a host of its own, several at once, while runs of
// netsetgo are killed, containers end and begin anew under their id, and rules, bridges and
// links are deleted by hand. After each step it compares what is there with a model of what
// must be true, and after each round, in which all is taken down again, the whole state of
// the host with what it was. It never touches the machine's network.
//
// What is done when is drawn by a seed, which is printed: the same seed draws the same again.
// How runs that go on at once come between each other isn't drawn, and may be otherwise.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	runtime.LockOSThread() // for good: the thread becomes the host
	if len(os.Args) > 2 && os.Args[1] == serveName {
		_, _ = fmt.Fprintln(os.Stderr, "soak:", serve(os.Args[2]))
		os.Exit(1)
	}
	binary := flag.String("binary", "bin/netsetgo", "the netsetgo to run")
	lasts := flag.Duration("for", time.Minute, "how long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixMilli()), "of the first round; each that follows has the next")
	selftest := flag.Bool("selftest", false, "look whether it finds what is broken on purpose")
	flag.Parse()
	var err error
	if *selftest {
		err = testItself()
	} else {
		err = soak(*binary, *lasts, *seed, os.Stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak lets rounds go by until the time is over. Where one fails, it writes what was done before;
// what is wrong comes last, in its error.
func soak(binary string, lasts time.Duration, seed uint64, history io.Writer) error {
	_, _ = fmt.Fprintf(os.Stdout, "the first round has the seed %d\n", seed)
	s, err := newSession(binary)
	if err != nil {
		return err
	}
	defer s.close()
	for began := time.Now(); time.Since(began) < lasts; seed++ {
		if err := s.round(seed); err != nil {
			const most = 40
			last := s.log[max(0, len(s.log)-most):]
			_, _ = fmt.Fprintf(history, "the last that was done:\n%s\n", strings.Join(last, "\n"))
			return fmt.Errorf("-seed %d: %w", seed, err)
		}
	}
	c := s.count
	_, _ = fmt.Fprintf(os.Stdout, "%d rounds of %d steps: %d runs, of which %d were killed and %d had to fail; %d things done by hand; "+
		"%d sysctls forfeited by that; nothing else is left, and all was as it must be\n",
		c.rounds, c.steps/c.rounds, c.runs, c.killed, c.refused, c.byHand, c.forfeited)
	return nil
}
