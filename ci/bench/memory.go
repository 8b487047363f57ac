package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// benchMemory measures how much memory runs have at their peak.
func benchMemory(o options, r *report) error {
	s, err := newStage(o, full, peer{name: dualName, connect: byNetsetgo(dualFlags...)})
	if err != nil {
		return err
	}
	name, err := s.namespace()
	if err != nil {
		return err
	}
	r.printf("\nMemory at its peak: MiB\n")
	most := 0.0
	for _, run := range []struct {
		what string
		invocation
	}{
		{dualName, dual.connect(s, name, 0)[0]},
		{dualName + ", again", dual.connect(s, name, 0)[0]},
		{"netsetgo check", invocation{arguments: append([]string{s.binary, "check", "-netns", name, "-publish", "8080:80"}, dualFlags...)}},
		{"netsetgo list", invocation{arguments: []string{s.binary, "list"}}},
		{"netsetgo down", byNetsetgoDown(s, name, 0)[0]},
		{"netsetgo, 1,000 ports published", byNetsetgo(append(slices.Clone(fullFlags), "-publish", "10000-10999:10000")...)(s, name, 0)[0]},
		{"netsetgo down, 1,000 ports published", byNetsetgoDown(s, name, 0)[0]},
		{plainName, plain.connect(s, name, 0)[0]},
	} {
		peak, err := run.peak()
		if err != nil {
			return fmt.Errorf("%s: %w", run.what, err)
		}
		r.printf("  %-46s %8.2f\n", run.what, peak)
		most = max(most, peak)
	}
	r.Bars = append(r.Bars, bar{What: "MiB of memory at the peak of a run", Value: most, Most: 12})
	return nil
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak runs a program, which it stops just before its end to ask how much it had, in MiB: what
// wait4(2) tells counts the memory of who started it, too.
func (i invocation) peak() (float64, error) {
	cmd, done, err := i.command()
	if err != nil {
		return 0, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, done(err)
	}
	pid := cmd.Process.Pid
	peak := 0.0
	for first := true; ; first = false {
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			return 0, done(err)
		}
		if !status.Stopped() {
			if status.ExitStatus() != 0 {
				return 0, done(fmt.Errorf("it ended with %d", status.ExitStatus()))
			}
			if peak == 0 {
				return 0, done(errors.New("it wasn't stopped before its end"))
			}
			return peak, done(nil)
		}
		signal := 0
		switch {
		case first:
			err = unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACEEXIT|unix.PTRACE_O_EXITKILL)
		case status.TrapCause() == unix.PTRACE_EVENT_EXIT:
			peak, err = highWaterOf(pid)
		default:
			signal = int(status.StopSignal())
		}
		if err == nil {
			err = unix.PtraceCont(pid, signal)
		}
		if err != nil {
			return 0, done(err)
		}
	}
}

func highWaterOf(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	found := highWater.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
	}
	kib, err := strconv.Atoi(string(found[1]))
	return float64(kib) / 1024, err
}
