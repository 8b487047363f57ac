package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Where results are kept.
const (
	resultsFile = "ci/bench/RESULTS.md"
	timesFile   = "ci/bench/times.svg"
	growthFile  = "ci/bench/growth.svg"
)

// writeResults writes down what was measured.
func writeResults(reports []report) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "# What netsetgo costs\n\nWritten by `make bench`, on Linux %s with %d cores. Times are of this one run, and their ratios are what counts.\n%s\n"+
		"![time per container](times.svg)\n\n![time of the next container](growth.svg)\n\n", version(unix.ByteSliceToString(name.Release[:])), cores(), versions())
	var bars []bar
	var times []named
	var lines []growth
	for _, r := range reports {
		_, _ = fmt.Fprintf(&text, "```\n%s\n```\n\n", strings.Trim(r.Text, "\n"))
		bars, times, lines = append(bars, r.Bars...), append(times, r.Times...), append(lines, r.Growth...)
	}
	_, _ = fmt.Fprintf(&text, "## Bars\n\n```\n%s```\n", table(bars))
	text.WriteString(whyMissed(bars))
	if err := os.WriteFile(resultsFile, []byte(text.String()), 0o644); err != nil { // for all to read
		return err
	}
	if err := plotTimes(times); err != nil {
		return fmt.Errorf("drawing %s: %w", timesFile, err)
	}
	if err := plotGrowth(lines); err != nil {
		return fmt.Errorf("drawing %s: %w", growthFile, err)
	}
	return nil
}

// version is the first two numbers of a kernel's release.
func version(release string) string {
	parts := strings.SplitN(release, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// versions are those of what netsetgo is compared with.
func versions() string {
	out, _ := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}, ", "containernetworking-plugins", "iproute2", "iptables", "runc").Output()
	return fmt.Sprintf("With %s%s.\n", out, runtime.Version())
}

func cores() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return 0
	}
	return set.Count()
}

// whyMissed is a list of the bars that are missed, and why.
func whyMissed(bars []bar) string {
	var text strings.Builder
	for _, b := range bars {
		if !b.over(b.Most) {
			continue
		}
		if text.Len() == 0 {
			text.WriteString("\n## Why some are missed\n\n")
		}
		_, _ = fmt.Fprintf(&text, "- %s: %s\n", b.What, cmp.Or(b.Why, "the reason isn't known."))
	}
	return text.String()
}

func plotTimes(times []named) error {
	p := newPlot("one container to a bridge that is there")
	p.X.Label.Text = "milliseconds, process start included"
	p.X.Min = 0
	p.Y.Padding = vg.Points(8)
	names := make([]string, len(times))
	ends := plotter.XYLabels{XYs: make(plotter.XYs, len(times)), Labels: make([]string, len(times))}
	for i, t := range times {
		at := len(times) - 1 - i // the first on top
		names[at] = t.Name
		ends.XYs[at] = plotter.XY{X: t.Value, Y: float64(at)}
		ends.Labels[at] = fmt.Sprintf(" %.1f", t.Value)
		values := make(plotter.Values, len(times))
		values[at] = t.Value
		bars, err := plotter.NewBarChart(values, vg.Points(14))
		if err != nil {
			return err
		}
		bars.Horizontal = true
		bars.Color = color.Gray{Y: 170}
		if strings.HasPrefix(t.Name, "netsetgo") {
			bars.Color = plotutil.Color(1)
		}
		bars.LineStyle.Width = 0
		p.Add(bars)
	}
	labels, err := plotter.NewLabels(ends)
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i].YAlign = draw.YCenter
	}
	p.Add(labels)
	p.NominalY(names...)
	return save(p, 3*vg.Inch, timesFile)
}

func plotGrowth(lines []growth) error {
	p := newPlot("the next container, against how many are there")
	p.X.Label.Text = "containers on the bridge"
	p.Y.Label.Text = "milliseconds"
	p.Y.Min = 0
	var drawn []any
	for _, line := range lines {
		points := make(plotter.XYs, len(line.Counts))
		for i := range points {
			points[i] = plotter.XY{X: line.Counts[i], Y: line.Times[i]}
		}
		drawn = append(drawn, line.Name, points)
	}
	if err := plotutil.AddLines(p, drawn...); err != nil {
		return err
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Points(3)
	return save(p, 4*vg.Inch, growthFile)
}

// typeface is one whose widths other fonts have as well, for who hasn't it.
const typeface = "Liberation Sans"

func newPlot(title string) *plot.Plot {
	plot.DefaultFont.Variant = "Sans"
	plotter.DefaultFont.Variant = "Sans"
	p := plot.New()
	p.BackgroundColor = color.White // also where the page is dark
	p.Title.Text = title
	p.Title.Padding = vg.Points(6)
	return p
}

func save(p *plot.Plot, height vg.Length, file string) error {
	canvas, err := p.WriterTo(8*vg.Inch, height, "svg")
	if err != nil {
		return err
	}
	var drawing bytes.Buffer
	if _, err := canvas.WriteTo(&drawing); err != nil {
		return err
	}
	fonts := "font-family:" + typeface
	text := strings.ReplaceAll(drawing.String(), fonts, fonts+",Arial,Helvetica,sans-serif")
	return os.WriteFile(file, []byte(text), 0o644) // for all to read
}
