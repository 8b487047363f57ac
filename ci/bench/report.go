package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report is what a measure says: text, the figures that have to keep a bar, and what is drawn.
// Its process hands it to its parent as JSON.
type report struct {
	Text   string
	Bars   []bar
	Times  []named  // a bar each, in the plot of times
	Growth []growth // a line each, in that of growth
}

// bar is a figure, and what it may be at most.
type bar struct {
	What        string
	Value, Most float64
	// Limit, where it isn't 0, is further off than Most: only what is worse than that is a failure.
	Limit float64
	// Least says that the bar is what the figure has to be at least.
	Least bool
	// Why is the reason where it is missed, as far as that is known. It speaks of the tables.
	Why string
}

type named struct {
	Name  string
	Value float64 // milliseconds
}

type growth struct {
	Name   string
	Counts []float64 // containers that are there
	Times  []float64 // milliseconds that the next one takes
}

func (r *report) printf(format string, args ...any) { r.Text += fmt.Sprintf(format, args...) }

// row prints times as one line of a table, and returns the median.
func (r *report) row(what string, times []time.Duration) time.Duration {
	low, median, high := quartiles(times)
	r.printf("  %-46s %8.2f  (%.2f to %.2f)\n", what, milli(median), milli(low), milli(high))
	return median
}

// micros is a row of times that are short.
func (r *report) micros(what string, times []time.Duration) time.Duration {
	low, median, high := quartiles(times)
	r.printf("  %-46s %8.2f  (%.2f to %.2f)\n", what, micro(median), micro(low), micro(high))
	return median
}

func (b bar) over(most float64) bool {
	if b.Least {
		return b.Value < most
	}
	return b.Value > most
}

// failed says whether the figure is worse than is known.
func (b bar) failed() bool {
	if b.Limit != 0 {
		return b.over(b.Limit)
	}
	return b.over(b.Most)
}

// mayPass says whether a figure failed that is of times: of what must never be, once is enough.
func (b bar) mayPass() bool { return b.failed() && b.Most != 0 }

func (b bar) String() string {
	verdict := "kept"
	switch {
	case b.failed():
		verdict = "FAILED"
	case b.over(b.Most):
		verdict = "missed"
	}
	which := "at most"
	if b.Least {
		which = "at least"
	}
	return fmt.Sprintf("  %-76s %7.2f, %s %6.2f: %s\n", b.What, b.Value, which, b.Most, verdict)
}

// quartiles are the middle of some times, and what a quarter of them is below and above.
func quartiles(times []time.Duration) (low, median, high time.Duration) {
	return quantile(times, 0.25), quantile(times, 0.5), quantile(times, 0.75)
}

// quantile is what a part of some times is below.
func quantile(times []time.Duration, part float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

func milli(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// table is what all bars come to.
func table(bars []bar) string {
	var text strings.Builder
	for _, b := range bars {
		text.WriteString(b.String())
	}
	return text.String()
}
