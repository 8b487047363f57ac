package main

import (
	"errors"
	"fmt"
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
	peers := []peer{floor, plain, full, byCNI, masq}
	r.printf("\nMany at once: how many a second, and milliseconds from the common beginning until half, and 99 of 100, of them had ended\n  %-36s", "")
	counts := []int{1, 2, 8, 32}
	for _, count := range counts {
		r.printf(" %24s", fmt.Sprintf("%d at once", count))
	}
	r.printf("\n")
	rates := map[string]float64{} // of most at once
	for _, p := range peers {
		r.printf("  %-36s", p.name)
		for _, count := range counts {
			rate, took, err := s.together(p, count)
			if err != nil {
				return fmt.Errorf("%s, %d at once: %w", p.name, count, err)
			}
			median, last := quantile(took, 0.5), quantile(took, 0.99)
			r.printf(" %7.0f  %6.1f  %7.1f", rate, milli(median), milli(last))
			rates[p.name] = rate
			if p.name == plainName && count == 32 {
				r.Bars = append(r.Bars, bar{What: "netsetgo -nat=false, 32 at once: the slowest of 100 / the median, from the common beginning", Value: float64(last) / float64(median), Most: 2.5, Limit: 5})
			}
		}
		r.printf("\n")
	}
	r.Bars = append(r.Bars,
		bar{What: "netsetgo -nat=false, 32 at once: the rate / the floor's", Value: rates[plainName] / rates[floorName], Most: 0.5, Limit: 0.1, Least: true},
		bar{What: "netsetgo -nat=false, 32 at once: the rate / CNI's", Value: rates[plainName] / rates[cniName], Most: 4, Limit: 1.5, Least: true},
	)
	return nil
}

// together lets a peer connect so many containers at once, again and again. None may fail.
func (s *stage) together(p peer, count int) (rate float64, took []time.Duration, err error) {
	const atLeast = 192
	var spent time.Duration
	for round := 0; round*count < atLeast; round++ {
		names := make([]string, count)
		for i := range names {
			if names[i], err = s.namespace(); err != nil {
				return 0, nil, err
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
		spent += time.Since(began)
		err = errors.Join(errs...)
		for i, name := range names {
			if p.disconnect != nil && err == nil {
				_, err = s.run(p.disconnect(s, name, i))
			}
			err = errors.Join(err, dropNamespace(name))
		}
		if err = errors.Join(err, s.clear()); err != nil {
			return 0, nil, err
		}
		took = append(took, durations...)
	}
	return float64(len(took)) / spent.Seconds(), took, nil
}
