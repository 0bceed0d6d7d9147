package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

func at(epoch string, seq uint64) noloss.Cursor { return noloss.Cursor{Epoch: epoch, Seq: seq} }

// TestTheLedgerTellsLossesFromWhatWasNamed plays rows of what publisher and
// reader hear: a3@7 = event 3 acknowledged at 7, u3 = event 3 got no answer,
// g3@7 = event 3 read at 7, n7 = everything up to 7 is named as lost.
func TestTheLedgerTellsLossesFromWhatWasNamed(t *testing.T) {
	for name, c := range map[string]struct {
		row           string
		lost, checked uint64
		words         string
	}{
		"everything in its place":                      {"a1@1 g1@1 a2@2 g2@2", 0, 2, ""},
		"the reader hears of it first":                 {"g1@1 a1@1 g2@2 a2@2", 0, 2, ""},
		"one is missing":                               {"a1@1 g1@1 a2@2 a3@3 g3@3", 1, 2, "events [2] were acknowledged and never came"},
		"two are missing":                              {"a1@1 a2@2 a3@3 g3@3", 2, 1, "events [1 2] were"},
		"it is missing, and later ones are not blamed": {"a1@1 a2@2 g2@2 a3@3 g3@3", 1, 2, "events [1] were"},
		"what is missing was named before":             {"a1@1 n1 a2@2 g2@2", 0, 1, ""},
		"it was named before its ack came":             {"n1 a1@1 a2@2 g2@2", 0, 1, ""},
		"one after the named ones is missing":          {"a1@1 a2@2 n1 a3@3 g3@3", 1, 1, "events [2] were"},
		"one comes twice":                              {"a1@1 g1@1 g1@1", 1, 1, "came twice or late"},
		"one comes late":                               {"a1@1 a2@2 g2@2 g1@1", 2, 1, "came twice or late"},
		"one without an answer comes":                  {"u1 g1@1 a2@2 g2@2", 0, 1, ""},
		"one without an answer never comes":            {"u1 a2@2 g2@2", 0, 1, ""},
		"one without an answer comes late":             {"u1 a2@2 g2@2 g1@3 a3@4 g3@4", 0, 2, ""},
		"a new log without a word":                     {"a1@1 g1@1 g2@other.1", 1, 2, "is of another log"},
		"a new log that was told of":                   {"a1@1 a2@2 g1@1 nother.5 a3@other.6 g3@other.6", 0, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			for word := range strings.FieldsSeq(c.row) {
				play(t, &l, word)
			}
			s := l.now()
			if s.Lost != c.lost || s.Checked != c.checked || !strings.Contains(s.Message, c.words) || s.LastLoss.IsZero() != (c.lost == 0) || s.LastProof.IsZero() {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func play(t *testing.T, l *ledger, word string) {
	t.Helper()
	number, position, _ := strings.Cut(word[1:], "@")
	if word[0] == 'n' {
		position = number
	}
	epoch, seq, other := strings.Cut(position, ".")
	if !other {
		epoch, seq = "first", position
	}
	var n, s uint64
	_, _ = fmt.Sscan(number, &n)
	_, _ = fmt.Sscan(seq, &s)
	switch word[0] {
	case 'a':
		l.acked(n, at(epoch, s))
	case 'u':
		l.unanswered(n)
	case 'g':
		l.got(n, at(epoch, s))
	case 'n':
		l.announced(at(epoch, s))
	default:
		t.Fatalf("unknown word %q", word)
	}
}

func TestWhatHadNoAnswerIsForgottenAtSomeTime(t *testing.T) {
	l := newLedger()
	for n := range uint64(10 * maxDoubt) {
		l.unanswered(n + 1)
	}
	if len(l.doubt) != maxDoubt || !l.doubt[10*maxDoubt] || l.doubt[1] {
		t.Errorf("%d numbers are remembered", len(l.doubt))
	}
}
