//go:build linux

package bench

import (
	"fmt"
	"strings"
)

// Trend is where something goes that should stay level.
type Trend struct {
	What   string
	Mean   float64 // over the second half of a soak
	Growth float64 // of the mean, by the straight line through the second half, from its begin to its end
	Most   float64 // growth that is allowed
}

// Level tells whether it grew no more than it may.
func (t Trend) Level() bool { return t.Growth <= t.Most }

// Trends judges the second half of a soak; the first is for the log to fill up
// to its age, and for channels to get old enough to be forgotten.
func Trends(samples []Sample) []Trend {
	half := samples[len(samples)/2:]
	var trends []Trend
	for _, t := range []struct {
		what  string
		most  float64
		value func(Sample) int64
	}{
		{"live heap (after collections), MiB", 0.05, func(s Sample) int64 { return s.Live }},
		{"resident memory, MiB", 0.10, func(s Sample) int64 { return s.Resident }},
		{"socket buffers, MiB", 0.50, func(s Sample) int64 { return s.Sockets }}, // of 40 streams that stop reading at random
		{"goroutines", 0.05, func(s Sample) int64 { return s.Goroutines }},
		{"descriptors", 0.05, func(s Sample) int64 { return int64(s.Descriptors) }},
		{"channels known", 0.05, func(s Sample) int64 { return s.Known }},
	} {
		mean, growth := line(half, t.value)
		trends = append(trends, Trend{t.what, mean, growth, t.most})
	}
	return trends
}

// line is the mean of values and how much of it the straight line with the
// least squares through them rises from the first to the last.
func line(samples []Sample, value func(Sample) int64) (mean, growth float64) {
	n := float64(len(samples))
	if n < 2 {
		return 0, 0
	}
	var meanAt float64
	for _, s := range samples {
		meanAt += s.Seconds / n
		mean += float64(value(s)) / n
	}
	var with, square float64
	for _, s := range samples {
		with += (s.Seconds - meanAt) * (float64(value(s)) - mean)
		square += (s.Seconds - meanAt) * (s.Seconds - meanAt)
	}
	if mean == 0 || square == 0 {
		return mean, 0
	}
	return mean, with / square * (samples[len(samples)-1].Seconds - samples[0].Seconds) / mean
}

// SoakTable is a soak as Markdown: what it did, and its trends.
func SoakTable(samples []Sample, version, plot string) string {
	var b strings.Builder
	last := samples[len(samples)-1]
	fmt.Fprintf(&b, "%.0f minutes of gateway %s: %d events published, %d delivered, %d channels made; from the second half:\n\n",
		last.Seconds/60, version, last.Published, last.Delivered, last.Channels+int64(last.Published/madeEvery))
	b.WriteString("| | mean | growth over the half | allowed | |\n|---|--:|--:|--:|---|\n")
	for _, t := range Trends(samples) {
		verdict, mean := "**grows**", fmt.Sprintf("%.0f", t.Mean)
		if t.Level() {
			verdict = "level"
		}
		if strings.HasSuffix(t.What, "MiB") {
			mean = fmt.Sprintf("%.1f", t.Mean/(1<<20))
		}
		fmt.Fprintf(&b, "| %s | %s | %+.1f %% | %.0f %% | %s |\n", t.What, mean, 100*t.Growth, 100*t.Most, verdict)
	}
	fmt.Fprintf(&b, "\n![Memory during the soak](%s)\n", plot)
	return b.String()
}
