package doctor

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"time"
)

// Exit codes of an examination.
const (
	ExitWell       = 0
	ExitProblems   = 1
	ExitUnexamined = 2 // no stream could be opened, so most questions are open
)

// Exit is the code for the shell: warnings are no reason to fail.
func (r Report) Exit() int {
	switch {
	case !r.Examined:
		return ExitUnexamined
	case r.Problems() > 0:
		return ExitProblems
	}
	return ExitWell
}

// facts are the numbers of an examination, as far as it came.
func facts(s seen) (f []Fact) {
	add := func(name, format string, values ...any) { f = append(f, Fact{name, fmt.Sprintf(format, values...)}) }
	if s.clock.err == nil {
		how := s.clock.proto
		if t := s.clock.tls; t != nil {
			how += ", " + tls.VersionName(t.Version)
			if len(t.PeerCertificates) > 0 {
				how += ", certificate until " + t.PeerCertificates[0].NotAfter.UTC().Format(time.DateOnly)
			}
		}
		add("spoken", "%s", how)
	}
	if s.timed {
		add("round trip", "%s", s.trip.Round(10*time.Microsecond))
	}
	if o, at, ok := s.long.open(); ok {
		n, longest := s.beats()
		encoding := s.long.encoding
		if encoding == "" {
			encoding = "no compression"
		}
		add("sg.open", "%s after the answer began, %s", at.Sub(s.long.headers).Round(100*time.Microsecond), encoding)
		add("watched", "%s: heartbeats every %s, %d came, at most %s late", s.long.ended.Sub(s.long.headers).Round(100*time.Millisecond),
			time.Duration(o.HB)*time.Millisecond, n, longest.Round(time.Millisecond))
	}
	return f
}

// Print writes a report for a person.
func (r Report) Print(w io.Writer) {
	fmt.Fprintf(w, "%s\n", r.URL)
	for _, f := range r.Facts {
		fmt.Fprintf(w, "  %-11s %s\n", f.Name, f.Value)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "\n%-8s %s\n", f.Level, f.Name)
		fmt.Fprint(w, wrap(f.Text, "         "))
		if f.Fix != "" {
			fmt.Fprint(w, wrap("→ "+f.Fix, "         "))
		}
	}
	switch n := r.Problems(); {
	case !r.Examined:
		fmt.Fprint(w, "\nNo stream could be opened, so the rest is not known.\n")
	case n == 0:
		fmt.Fprint(w, "\nNothing between here and the gateway hurts streams.\n")
	default:
		fmt.Fprintf(w, "\n%d of these hurt streams.\n", n)
	}
}

const lineWidth = 100

// wrap folds a text at spaces, every line behind an indent.
func wrap(text, indent string) string {
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > lineWidth {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
	return b.String()
}
