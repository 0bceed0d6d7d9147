//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/streamgateway/streamgateway/gateway/bench/contest"
)

// Summary is one server in one scenario, over all rounds.
type Summary struct {
	Server string
	Note   string // why there are no numbers
	Remark string // about the numbers
	// Cost is µs of processor per delivery: the median and the least of the
	// rounds. ToFloor and ToBatched are medians of the ratios within each
	// round; 0 = no floor in these rounds.
	Cost, LeastCost    float64
	ToFloor, ToBatched float64
	PerSecond          float64 // deliveries per second of the server's processor
	Seconds            float64 // of the wall
	P50, P99           float64 // ms
	BytesPerEvent      float64 // on the wire
	Missing            float64 // share of expected deliveries
	// Bytes of one more idle stream: user memory, its socket's buffers, and the
	// kernel's structures.
	UserPer, BuffersPer, KernelPer float64
	Stalled                        float64 // bytes of kernel memory per stalled stream
	Cut                            float64 // stalled streams that were cut
}

// summary folds the results of one server in a scenario; false = there are none.
func (run *Run) summary(sc Scenario, server string) (Summary, bool) {
	mine := run.of(sc.Name, server)
	if len(mine) == 0 {
		return Summary{}, false
	}
	s := Summary{Server: server, Remark: mine[0].Note}
	if good := slices.DeleteFunc(slices.Clone(mine), func(r *Result) bool { return !r.good() }); len(good) > 0 {
		run.fold(&s, sc, good)
	} else {
		s.Note = firstLine(mine[0].Skipped + mine[0].Error)
	}
	return s, true
}

func (run *Run) of(scenario, server string) (found []*Result) {
	for _, r := range run.Results {
		if r.Scenario == scenario && r.Server == server {
			found = append(found, r)
		}
	}
	return found
}

func (run *Run) fold(s *Summary, sc Scenario, good []*Result) {
	over := func(f func(r *Result) float64) float64 {
		var values []float64
		for _, r := range good {
			values = append(values, f(r))
		}
		return median(values)
	}
	s.Cost = over((*Result).MicrosecondsPerDelivery)
	s.LeastCost = math.Inf(1)
	for _, r := range good {
		s.LeastCost = min(s.LeastCost, r.MicrosecondsPerDelivery())
	}
	s.ToFloor, s.ToBatched = run.ratio(good, "floor"), run.ratio(good, "floor-batched")
	if s.Cost > 0 {
		s.PerSecond = 1e6 / s.Cost
	}
	s.Seconds = over(func(r *Result) float64 { return r.Seconds })
	s.P50 = over(func(r *Result) float64 { return float64(r.Latency.P50) / 1000 })
	s.P99 = over(func(r *Result) float64 { return float64(r.Latency.P99) / 1000 })
	s.BytesPerEvent = over(func(r *Result) float64 { return float64(r.WireBytes) / float64(max(r.Delivered, 1)) })
	s.Missing = over(func(r *Result) float64 { return 1 - float64(r.Delivered)/float64(max(r.Expected, 1)) })
	s.UserPer = over(func(r *Result) float64 { user, _, _ := r.memoryPerStream(); return user })
	s.BuffersPer = over(func(r *Result) float64 { _, buffers, _ := r.memoryPerStream(); return buffers })
	s.KernelPer = over(func(r *Result) float64 { _, _, kernel := r.memoryPerStream(); return kernel })
	if sc.Stalled > 0 {
		s.Stalled = over(func(r *Result) float64 {
			return float64(r.SocketsAfter.Total()-r.SocketsBefore.Total()) / float64(sc.Stalled)
		})
		s.Cut = over(func(r *Result) float64 { return float64(r.SocketsBefore.Count - r.SocketsAfter.Count) })
	}
}

// ratio is the median of cost against that of a floor in the same round.
func (run *Run) ratio(good []*Result, floor string) float64 {
	var values []float64
	for _, r := range good {
		for _, f := range run.of(r.Scenario, floor) {
			if f.Round == r.Round && f.good() && f.MicrosecondsPerDelivery() > 0 && r.MicrosecondsPerDelivery() > 0 {
				values = append(values, r.MicrosecondsPerDelivery()/f.MicrosecondsPerDelivery())
			}
		}
	}
	return median(values)
}

// median of no values is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Table is what runs of one program found as Markdown: how they meet the goals,
// and a table for each scenario, in which cells have a number of each run.
func Table(runs ...*Run) string {
	var b strings.Builder
	for i, run := range runs {
		which := ""
		if len(runs) > 1 {
			which = fmt.Sprintf(", run %d", i+1)
		}
		fmt.Fprintf(&b, "Measured %s on %d cores of %s, Linux %s, %s%s; up to %d rounds, %.0f s in all.\n\n",
			run.Began.Format("2006-01-02 15:04 MST"), run.Machine.Cores, run.Machine.Processor, run.Machine.Kernel, run.Machine.Go, which, run.Rounds, run.Seconds)
	}
	last := runs[len(runs)-1]
	for _, s := range contest.All() {
		if v := last.Versions[s.Name]; v != "" {
			fmt.Fprintf(&b, "- %s: %s\n", s.Name, v)
		}
	}
	b.WriteString("\n" + goalTable(runs))
	for _, sc := range last.Scenarios {
		fmt.Fprintf(&b, "\n### %s (`%s`)\n\n", sc.Title, sc.Name)
		rows(&b, runs, sc)
	}
	return b.String()
}

// column is one number of a table.
type column struct {
	title string
	text  func(Summary) string
}

func number(title, format string, value func(Summary) float64) column {
	return column{title, func(s Summary) string {
		if v := value(s); v != 0 && !math.IsInf(v, 0) {
			return fmt.Sprintf(format, v)
		}
		return "–"
	}}
}

func columns(sc Scenario) []column {
	cost := number("CPU µs", "%.2f", func(s Summary) float64 { return s.Cost })
	least := number("least", "%.2f", func(s Summary) float64 { return s.LeastCost })
	ratio := number("× floor", "%.2f", func(s Summary) float64 { return s.ToFloor })
	p50 := number("p50 ms", "%.1f", func(s Summary) float64 { return s.P50 })
	p99 := number("p99 ms", "%.1f", func(s Summary) float64 { return s.P99 })
	missing := number("missing", "%.2f %%", func(s Summary) float64 { return 100 * s.Missing })
	bytes := number("wire B", "%.0f", func(s Summary) float64 { return s.BytesPerEvent })
	perSecond := number("per CPU-second", "%.0f", func(s Summary) float64 { return s.PerSecond })
	switch sc.Kind {
	case Idle:
		return []column{
			number("user B a stream", "%.0f", func(s Summary) float64 { return s.UserPer }),
			number("socket buffers B a stream", "%.0f", func(s Summary) float64 { return s.BuffersPer }),
			number("kernel structures B a stream", "%.0f", func(s Summary) float64 { return s.KernelPer }),
		}
	case Flood:
		return []column{perSecond, cost, least, ratio, bytes, missing}
	case Bytes:
		return []column{bytes, cost, missing, {"remark", func(s Summary) string { return s.Remark }}}
	case Publish:
		return []column{perSecond, cost, least, ratio, missing}
	case Reconnect:
		return []column{number("wall s", "%.2f", func(s Summary) float64 { return s.Seconds }), cost, least, ratio, bytes, missing}
	}
	all := []column{cost, least, ratio}
	if sc.Window > 0 {
		all = append(all, number("× batched floor", "%.2f", func(s Summary) float64 { return s.ToBatched }))
	}
	all = append(all, p50, p99, bytes, missing)
	if sc.Stalled > 0 {
		all = append(all, number("kernel KiB a stalled stream", "%.0f", func(s Summary) float64 { return s.Stalled / 1024 }),
			number(fmt.Sprintf("of %d cut", sc.Stalled), "%.0f", func(s Summary) float64 { return s.Cut }))
	}
	return all
}

// between stands between the numbers of two runs in one cell.
const between = " · "

func rows(b *strings.Builder, runs []*Run, sc Scenario) {
	all := columns(sc)
	b.WriteString("| server |")
	for _, c := range all {
		b.WriteString(" " + c.title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(all)) + "\n")
	for _, server := range contest.All() {
		cells := make([][]string, len(all))
		notes, seen := []string{}, false
		for _, run := range runs {
			s, ok := run.summary(sc, server.Name)
			seen = seen || ok
			if s.Note != "" {
				notes = append(notes, s.Note)
				continue
			}
			for i, c := range all {
				if ok {
					cells[i] = append(cells[i], c.text(s))
				}
			}
		}
		switch {
		case !seen:
			continue
		case len(notes) == len(runs):
			fmt.Fprintf(b, "| %s | %s |%s\n", server.Name, notes[0], strings.Repeat(" |", len(all)-1))
			continue
		}
		fmt.Fprintf(b, "| %s |", server.Name)
		for _, c := range cells {
			b.WriteString(" " + strings.Join(slices.Concat(c, notes), between) + " |")
		}
		b.WriteString("\n")
	}
}

// Renew gives a document with what stands between <!-- name:begin --> and
// <!-- name:end --> replaced.
func Renew(document []byte, name, table string) ([]byte, error) {
	begin, end := fmt.Sprintf("<!-- %s:begin -->\n", name), fmt.Sprintf("<!-- %s:end -->", name)
	before, rest, ok := bytes.Cut(document, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return nil, fmt.Errorf("no place for the table: %s and %s", strings.TrimSpace(begin), end)
	}
	return slices.Concat(before, []byte(begin), []byte(table), []byte(end), after), nil
}
