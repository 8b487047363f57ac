package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// bar is what a figure may be at most.
type bar struct {
	what  string
	ratio float64
	most  float64
}

// misses prints bars, and returns an error where one is missed.
func misses(bars []bar) error {
	var missed error
	for _, b := range bars {
		verdict := "kept"
		if b.ratio > b.most {
			verdict = "MISSED"
			missed = errors.Join(missed, fmt.Errorf("%s: %.2f times, which is to be %.2f at most", b.what, b.ratio, b.most))
		}
		_, _ = fmt.Fprintf(os.Stdout, "  %-72s %6.2f of %.2f: %s\n", b.what, b.ratio, b.most, verdict)
	}
	return missed
}

// benchAttach compares what connects one container to a bridge that is there.
func benchAttach(binary string, runs int) error {
	tools, err := os.MkdirTemp("/dev/shm", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tools) }()
	if err := build(tools); err != nil {
		return err
	}
	s, err := newStage(tools, binary)
	if err != nil {
		return err
	}
	idle := func(name string, arguments ...string) peer {
		return peer{name: name, connect: func(*stage, string, int) []invocation { return one(arguments...) }}
	}
	all := append(slices.Clip(peers),
		idle(emptyName, tools+"/empty"),
		idle(idleName, tools+"/idle"),
		idle(versionName, binary, "version"),
		peer{name: againName, connect: func(s *stage, _ string, _ int) []invocation { return netsetgoWith()(s, "c0", 0) }},
		idle(downGoneName, binary, "down", "-id", "nobody"),
	)
	times, err := s.measure(all, runs)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(os.Stdout, "\none container to a bridge that is there, %d times each, by turns, the start of the process included: milliseconds, median (and quartiles)\n", runs)
	medians := map[string]float64{}
	for i, p := range all {
		low, median, high := quartiles(times[i])
		medians[p.name] = milli(median)
		_, _ = fmt.Fprintf(os.Stdout, "  %-44s %8.2f  (%.2f to %.2f)  %5.2f times the floor\n", p.name, milli(median), milli(low), milli(high), milli(median)/medians[floorName])
	}
	ratio := func(a, b string) float64 { return medians[a] / medians[b] }
	return misses([]bar{
		{"netsetgo -nat=false, against the floor", ratio(plainName, floorName), 2},
		{"netsetgo -nat=false, against CNI", ratio(plainName, cniName), 0.22},
		{"a second netsetgo, against a program of its packages that does nothing", ratio(againName, idleName), 1.3},
		{"netsetgo down where nothing is, against the same", ratio(downGoneName, idleName), 1.3},
		{"netsetgo version, against the same", ratio(versionName, idleName), 1.15},
		{"that program, against one of no packages", ratio(idleName, emptyName), 1.4},
	})
}

func milli(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
