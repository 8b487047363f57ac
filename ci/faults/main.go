// Command faults puts a fault into every call that netsetgo makes to the kernel, one at a
// time, and looks whether it keeps its promises: after an error all is as it was before or,
// where down has no way back, as without the error; after a kill, the same run again succeeds,
// and down then takes all away. It does so by seccomp's user notification, on hosts of its own
// (network and mount namespaces), prints a table, and fails where anything was left. It never
// touches the machine's network.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are the flags.
type options struct {
	binary   string
	only     string
	scenario string
	kind     string
	sample   bool
	every    int
	from     int
	first    bool
	jobs     int
}

func main() {
	// For good: the thread becomes the host, and what it starts is on that host.
	runtime.LockOSThread()
	if len(os.Args) > 2 && os.Args[1] == stubName {
		_, _ = fmt.Fprintln(os.Stderr, "faults:", stub(os.Args[2:]))
		os.Exit(1)
	}
	var o options
	flag.StringVar(&o.binary, "binary", "bin/netsetgo", "the netsetgo to run")
	flag.StringVar(&o.only, "only", "", "only scenarios whose names begin so")
	flag.BoolVar(&o.sample, "sample", false, "not all: one error of each call, kills after changes, every fourth kill and delay; without -nat=false")
	flag.IntVar(&o.every, "every", 1, "only one of so many calls")
	flag.IntVar(&o.from, "from", 0, "with -every, the number of the first; 0 is one by chance, which is printed")
	flag.StringVar(&o.kind, "kind", "", "only faults of this kind: error, refusal, kill, end (a kill, and then the container's) or delay")
	flag.BoolVar(&o.first, "first", false, "end with the first thing that is left")
	flag.IntVar(&o.jobs, "jobs", 2*runtime.NumCPU(), "how many scenarios go on at once: each waits for the kernel half of the time")
	flag.StringVar(&o.scenario, "scenario", "", "for itself: the one scenario that this process is for")
	selftest := flag.Bool("selftest", false, "look whether it finds what is broken on purpose")
	flag.Parse()
	var err error
	switch {
	case o.every < 1:
		err = errors.New("-every is how many calls one is taken of: 1 takes all")
	case o.kind != "" && !slices.Contains(kindNames[:], o.kind):
		err = fmt.Errorf("-kind is one of %s", strings.Join(kindNames[:], ", "))
	case o.from < 0 || o.from > o.every:
		err = errors.New("-from is the number of the first call that -every takes, so no more than that")
	case o.scenario != "":
		err = runOne(o)
	case *selftest:
		err = testItself(o)
	default:
		err = runAll(o)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

var errLeft = errors.New("what netsetgo promises isn't so")

// runAll runs each scenario in a process of its own, and prints its row when all before it
// have ended.
func runAll(o options) error {
	type result struct {
		row  row
		told string
		err  error
	}
	var results []chan result
	places := make(chan struct{}, o.jobs)
	if o.from == 0 {
		o.from = 1 + rand.IntN(o.every)
	}
	if o.every > 1 {
		_, _ = fmt.Fprintf(os.Stdout, "of every %d calls one: -from %d\n", o.every, o.from)
	}
	for _, scenario := range scenarios {
		if !strings.HasPrefix(scenario.name, o.only) || o.sample && scenario.covered && o.only == "" {
			continue
		}
		done := make(chan result, 1)
		results = append(results, done)
		go func() {
			places <- struct{}{}
			defer func() { <-places }()
			row, told, err := o.start(scenario.name)
			done <- result{row, told, err}
		}()
	}
	_, _ = fmt.Fprintf(os.Stdout, "%-38s %6s %6s %7s %9s %6s %6s %7s %7s %8s\n",
		"scenario", "facts", "calls", "errors", "refusals", "kills", "ends", "delays", "left", "time")
	began, failed, faults, left := time.Now(), 0, 0, 0
	for _, done := range results {
		is := <-done
		if is.err != nil {
			failed++
			_, _ = fmt.Fprint(os.Stderr, is.told)
		}
		if is.row.Scenario == "" {
			continue
		}
		_, _ = fmt.Fprintln(os.Stdout, is.row)
		left += is.row.Left
		for _, n := range is.row.Tried {
			faults += n
		}
	}
	_, _ = fmt.Fprintf(os.Stdout, "%d scenarios, %d faults, %d left something, in %.0f s\n", len(results), faults, left, time.Since(began).Seconds())
	if faults == 0 && failed == 0 {
		return errors.New("there was no call to put a fault into: see -only, -kind, -every and -from")
	}
	if failed > 0 {
		return fmt.Errorf("%w in %d of %d scenarios", errLeft, failed, len(results))
	}
	return nil
}

// row is what came of one scenario.
type row struct {
	Scenario           string
	Facts, Calls, Left int
	Tried              [delayKind + 1]int // by kind
	Seconds            float64
}

func (r row) String() string {
	return fmt.Sprintf("%-38s %6d %6d %7d %9d %6d %6d %7d %7d %7.0fs", r.Scenario, r.Facts, r.Calls,
		r.Tried[errorKind], r.Tried[refusalKind], r.Tried[killKind], r.Tried[endKind], r.Tried[delayKind], r.Left, r.Seconds)
}

// start runs one scenario in a process that ends with this one, and whose first thread can
// become a host.
func (o options) start(scenario string) (r row, told string, err error) {
	runtime.LockOSThread() // the process ends with the thread that starts it
	defer runtime.UnlockOSThread()
	arguments := []string{
		"-binary", o.binary, "-scenario", scenario, "-kind", o.kind,
		fmt.Sprintf("-sample=%t", o.sample), fmt.Sprintf("-every=%d", o.every), fmt.Sprintf("-from=%d", o.from), fmt.Sprintf("-first=%t", o.first),
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("/proc/self/exe", arguments...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	if stdout.Len() > 0 {
		err = errors.Join(err, json.Unmarshal(stdout.Bytes(), &r))
	}
	return r, stderr.String(), err
}

// runOne runs one scenario here, and prints its row as JSON, and what was left on standard error.
func runOne(o options) error {
	// Orphans become this process's children, and are seen.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the one to whom orphans go: %w", err)
	}
	for _, scenario := range scenarios {
		if scenario.name != o.scenario {
			continue
		}
		s := &session{scenario: scenario, binary: o.binary}
		defer s.end()
		begin := s.shortest
		if o.first {
			begin = s.begin
		}
		if err := begin(); err != nil {
			return fmt.Errorf("%s: %w", scenario.name, err)
		}
		r, err := s.all(o, os.Stderr)
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(r)
		}
		if err == nil && r.Left > 0 {
			err = fmt.Errorf("%w: %d", errLeft, r.Left)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", scenario.name, err)
		}
		return nil
	}
	return fmt.Errorf("there is no scenario %q", o.scenario)
}

// all lets each call meet its faults.
func (s *session) all(o options, problems io.Writer) (r row, err error) {
	began := time.Now()
	r = row{Scenario: s.name, Facts: len(s.right.host) + len(s.right.container), Calls: len(s.calls)}
	for i := max(o.from, 1) - 1; i < len(s.calls); i += o.every {
		for _, f := range choose(o, s, i) {
			if f.kind == delayKind {
				f.delay = s.late() // which is another once the session has begun anew
			}
			c := s.calls[i]
			aim := aimAt(s.calls, i, f)
			broken, met, err := s.meet(aim)
			if err != nil {
				return r, fmt.Errorf("call %d, %s, %s: %w", i+1, c, f, err)
			}
			if met {
				r.Tried[f.kind]++
			}
			if broken == nil {
				continue
			}
			r.Left++
			_, _ = fmt.Fprintf(problems, "%s: call %d, %s, the %dth of its sort: %s: %s\n", s.name, i+1, c, aim.nth, f, strings.Join(broken, "\n    "))
			if o.first {
				return r, nil
			}
			if err := s.begin(); err != nil {
				return r, err
			}
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// meet tries until the call is made. Not to be in time for that is what being late is for.
func (s *session) meet(aim aim) (broken []string, met bool, err error) {
	const tries = 5
	for range tries {
		broken, err = s.try(aim)
		if !errors.Is(err, errNotMet) {
			return broken, true, err
		}
		if aim.fault.kind == delayKind {
			return nil, false, nil
		}
	}
	return nil, false, err
}
