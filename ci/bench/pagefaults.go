package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// faults lets some peers connect a few containers more, and tells how much of the processor
// each takes, and how many page faults: what a process touches for the first time the kernel
// has to map, one fault for a page of memory, or for some of a file.
func (s *stage) faults(r *report, peers []peer) error {
	cost, err := pageFault()
	if err != nil {
		return err
	}
	type usage struct {
		spent  time.Duration
		faults int64
	}
	usages := map[string]usage{}
	r.printf("\nMilliseconds of a processor, and page faults, of one, medians of nine; a page fault takes %.2f microseconds here\n", micro(cost))
	for _, p := range peers {
		var counts []int64
		var spent []time.Duration
		for range 9 {
			count, took, err := s.faultsOnce(p)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			counts, spent = append(counts, count), append(spent, took)
		}
		slices.Sort(counts)
		of := usage{quantile(spent, 0.5), counts[len(counts)/2]}
		r.printf("  %-46s %8.2f %5d\n", p.name, milli(of.spent), of.faults)
		usages[p.name] = of
	}
	r.printf("Milliseconds that page faults take, of those that each takes more than nothing, with netsetgo's packages\n")
	for _, name := range []string{plainName, fullName, againName, downGoneName, versionName} {
		beyond := usages[name].faults - usages[idleName].faults
		r.printf("  %-46s %8.2f of %.2f\n", name, milli(time.Duration(beyond)*cost), milli(usages[name].spent-usages[idleName].spent))
	}
	return nil
}

func (s *stage) faultsOnce(p peer) (count int64, spent time.Duration, err error) {
	name, err := s.namespace()
	if err != nil {
		return 0, 0, err
	}
	for _, i := range p.connect(s, name, 0) {
		cmd, done, err := i.command()
		if err != nil {
			return 0, 0, err
		}
		if err := done(cmd.Run()); err != nil {
			return 0, 0, err
		}
		count += cmd.ProcessState.SysUsage().(*syscall.Rusage).Minflt
		spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if p.disconnect != nil {
		if _, err := s.run(p.disconnect(s, name, 0)); err != nil {
			return 0, 0, err
		}
	}
	return count, spent, s.leave([]string{name})
}

// pageFault is the least time that one takes of many in a row, each of a page of memory.
func pageFault() (time.Duration, error) {
	const pages, tries = 2000, 5
	least := time.Hour
	for range tries {
		memory, err := unix.Mmap(-1, 0, pages*unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return 0, fmt.Errorf("mapping memory: %w", err)
		}
		// One fault would map two megabytes else, where that is allowed.
		if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) {
			return 0, fmt.Errorf("asking for small pages: %w", err)
		}
		began := time.Now()
		for at := 0; at < len(memory); at += unix.Getpagesize() {
			memory[at] = 1
		}
		least = min(least, time.Since(began)/pages)
		if err := unix.Munmap(memory); err != nil {
			return 0, fmt.Errorf("unmapping memory: %w", err)
		}
	}
	return least, nil
}
