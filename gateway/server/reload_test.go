package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
)

func document(t *testing.T, serial int64, name string, window time.Duration) []byte {
	t.Helper()
	_, hot := config.Default()
	hot.Batching.Window = window
	text, err := config.Encode(config.Document{Serial: serial, Stable: config.Revision{Name: name, Hot: hot}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newTestReloader notes the names of what was applied.
func newTestReloader(byHand bool) (*reloader, *[]string) {
	applied := []string{}
	return newReloader(
		&Options{Log: slog.New(slog.DiscardHandler), Cluster: !byHand, Pod: "pod-a", TemplateHash: "t1"},
		func(_ config.Document, r config.Revision, _ bool) { applied = append(applied, r.Name) }), &applied
}

func TestOnlyANewerDocumentRuns(t *testing.T) {
	r, applied := newTestReloader(false)
	if r.ready() {
		t.Error("ready without a document")
	}
	r.take(document(t, 5, "five", 0))
	r.take(document(t, 5, "five", 0))
	r.take(document(t, 4, "old copy", 0))
	if now, nack := r.now(); now.serial != 5 || nack != nil || !r.ready() {
		t.Errorf("runs %+v, refused %+v", now, nack)
	}
	r.take(document(t, 5, "same number", time.Second))
	if _, nack := r.now(); nack == nil || nack.Serial != 5 || !strings.Contains(nack.Message, "serial: 5 runs already with another content") {
		t.Errorf("refused %+v", nack)
	}
	r.take(document(t, 6, "six", 0))
	if now, nack := r.now(); now.serial != 6 || nack != nil {
		t.Errorf("runs %+v, refused %+v", now, nack)
	}
	if got := fmt.Sprint(*applied); got != "[five six]" {
		t.Errorf("applied %s", got)
	}
}

func TestAPersonMayKeepTheSerial(t *testing.T) {
	r, applied := newTestReloader(true)
	r.take(document(t, 1, "first", 0))
	r.take(document(t, 1, "second", time.Second))
	r.take(document(t, 0, "third", 0))
	if _, nack := r.now(); nack == nil || !strings.Contains(nack.Message, "serial: 0 is below 1, which runs; count serial up") {
		t.Errorf("refused %+v", nack)
	}
	if got := fmt.Sprint(*applied); got != "[first second]" {
		t.Errorf("applied %s", got)
	}
}

func TestWhatCannotBeReadIsRefusedWithItsSerialIfThereIsOne(t *testing.T) {
	r, applied := newTestReloader(false)
	for text, serial := range map[string]int64{
		"":           0,
		"no json":    0,
		`{"serial":`: 0,
		`{"serial":7,"stable":{"revision":"x","hot":{"batching":{"window":"soon"}}}}`: 7,
		`{"stable":{}}`: 0,
	} {
		r.take([]byte(text))
		_, nack := r.now()
		if nack == nil || nack.Serial != serial || nack.Message == "" {
			t.Errorf("%q: refused %+v", text, nack)
		}
	}
	if len(*applied) > 0 {
		t.Errorf("applied %s", *applied)
	}
	r.take([]byte(`{"serial":8,"stable":{"hot":{"features":[` + strings.Repeat(`{"name":"%"},`, 500) + `{}]}}}`))
	if _, nack := r.now(); len(nack.Message) > maxNackBytes+10 {
		t.Errorf("a message of %d bytes", len(nack.Message))
	}
}

func TestUnknownFieldsAreReportedAndIgnored(t *testing.T) {
	r, _ := newTestReloader(false)
	r.take([]byte(`{"serial":3,"canary":{},"stable":{"revision":"x","hot":{}}}`))
	if now, nack := r.now(); nack != nil || fmt.Sprint(now.unknown) != "[canary]" {
		t.Errorf("runs %+v, refused %+v", now, nack)
	}
}

func TestWaitEndsWithTheSerialItsRefusalOrTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTestReloader(false)
		r.take(document(t, 1, "one", 0))
		waited := func(serial int64, then func()) time.Duration {
			began := time.Now()
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			if then != nil {
				time.AfterFunc(3*time.Second, then)
			}
			r.wait(ctx, serial)
			return time.Since(began)
		}
		if d := waited(1, nil); d != 0 {
			t.Errorf("what runs already: %s", d)
		}
		if d := waited(3, func() { r.take(document(t, 3, "three", 0)) }); d != 3*time.Second {
			t.Errorf("what comes: %s", d)
		}
		if d := waited(4, func() { r.take(document(t, 4, "four", time.Hour)) }); d != 3*time.Second {
			t.Errorf("what is refused: %s", d)
		}
		if d := waited(9, nil); d != 10*time.Second {
			t.Errorf("what never comes: %s", d)
		}
	})
}

func TestOneRefusalIsSaidOnce(t *testing.T) {
	r, _ := newTestReloader(false)
	r.take(document(t, 2, "two", time.Hour))
	_, first := r.now()
	r.take(document(t, 2, "two", time.Hour))
	if _, again := r.now(); again != first {
		t.Error("the same refusal became news")
	}
}

func TestPodOnTrialRunsTheCandidateAndOnlyItRefusesABadOne(t *testing.T) {
	_, hot := config.Default()
	bad := hot
	bad.Batching.MaxEvents = 0
	d := config.Document{Serial: 1, Stable: config.Revision{Name: "old", Hot: hot}, Candidate: config.Revision{Name: "new", Hot: hot}}
	take := func(r *reloader) {
		t.Helper()
		text, err := config.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		r.take(text)
		d.Serial++
	}
	r, applied := newTestReloader(false)
	take(r)
	d.CandidatePods = []string{"pod-b", "pod-a"}
	take(r)
	if now, _ := r.now(); now.serial != 2 || now.revision.Name != "new" || fmt.Sprint(*applied) != "[old new]" {
		t.Errorf("runs %d %s after %s", now.serial, now.revision.Name, *applied)
	}
	d.Candidate.Hot = bad
	take(r)
	if now, nack := r.now(); nack == nil || nack.Revision != "new" || now.serial != 2 {
		t.Errorf("runs %+v, refused %+v", now, nack)
	}
	d.CandidatePods = []string{"pod-b"}
	take(r)
	if now, nack := r.now(); nack != nil || now.serial != 4 || now.revision.Name != "old" {
		t.Errorf("another pod's candidate: runs %d %s, refused %+v", now.serial, now.revision.Name, nack)
	}
}
