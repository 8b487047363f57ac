package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// benchTogether connects many at once.
func benchTogether(o options, r *report) error {
	if err := sh("echo 1 >/proc/sys/net/ipv4/ip_forward"); err != nil { // as CNI makes it
		return err
	}
	s, err := newStage(o, full, masq)
	if err != nil {
		return err
	}
	peers := []peer{floor, plain, batch, full, byCNI, masq}
	counts := []int{1, 2, 8, 32}
	all := map[string][]*crowd{}
	shuffle := rand.New(rand.NewPCG(1, 2)) // the same each time
	for _, count := range counts {
		for _, p := range peers {
			all[p.name] = append(all[p.name], &crowd{})
		}
		const atLeast = 192
		for round := 0; round*count < atLeast; round++ {
			for _, i := range shuffle.Perm(len(peers)) {
				crowds := all[peers[i].name]
				if err := s.together(peers[i], count, crowds[len(crowds)-1]); err != nil {
					return fmt.Errorf("%s, %d at once: %w", peers[i].name, count, err)
				}
			}
		}
	}
	r.printf("\nMany at once: how many a second, and milliseconds from the common beginning until half, 99 of 100, and all of them had ended\n  %-36s", "")
	for _, count := range counts {
		r.printf("%32s", fmt.Sprintf("%d at once", count))
	}
	r.printf("\n")
	for _, p := range peers {
		r.printf("  %-36s", p.name)
		for _, c := range all[p.name] {
			r.printf(" %7.0f %7.1f %7.1f %7.1f", c.rate(), milli(quantile(c.took, 0.5)), milli(quantile(c.took, 0.99)), milli(slices.Max(c.took)))
		}
		r.printf("\n")
	}
	most := func(name string) *crowd { return all[name][len(counts)-1] }
	ours := most(plainName)
	r.Bars = append(r.Bars,
		bar{What: "netsetgo -nat=false, 32 at once: the slowest of 100 / the median, from the common beginning", Value: float64(quantile(ours.took, 0.99)) / float64(quantile(ours.took, 0.5)), Most: 2.5, Limit: 5},
		bar{What: "netsetgo -nat=false, 32 at once: the rate / the floor's", Value: ours.rate() / most(floorName).rate(), Most: 0.5, Limit: 0.12, Least: true, Why: whyTogether},
		bar{What: "netsetgo -nat=false, 32 at once: the rate / CNI's", Value: ours.rate() / most(cniName).rate(), Most: 4, Limit: 2, Least: true, Why: whyTogether},
	)
	return nil
}

const whyTogether = "all processors are busy, so it is the ratio of the milliseconds of a processor, of which a program that does nothing takes its part as well."

// crowd is what came of many at once.
type crowd struct {
	took  []time.Duration // from the common beginning
	spent time.Duration   // from there to the end of the last, of all rounds
}

func (c *crowd) rate() float64 { return float64(len(c.took)) / c.spent.Seconds() }

// together lets a peer connect so many containers at once. None may fail.
func (s *stage) together(p peer, count int, c *crowd) error {
	names := make([]string, count)
	for i := range names {
		var err error
		if names[i], err = s.namespace(); err != nil {
			return err
		}
	}
	begin := make(chan struct{})
	durations, errs := make([]time.Duration, count), make([]error, count)
	var all sync.WaitGroup
	var began time.Time
	for i, name := range names {
		all.Go(func() {
			<-begin
			_, errs[i] = s.run(p.connect(s, name, i))
			durations[i] = time.Since(began) // also what waits for its turn to be started is asked for
		})
	}
	began = time.Now()
	close(begin)
	all.Wait()
	c.spent += time.Since(began)
	c.took = append(c.took, durations...)
	err := errors.Join(errs...)
	for i, name := range names {
		if p.disconnect != nil && err == nil {
			_, err = s.run(p.disconnect(s, name, i))
		}
	}
	return errors.Join(err, s.leave(names))
}
