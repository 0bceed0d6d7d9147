package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine"
)

func TestBuiltInFlagsAreOnAndUnknownOnesAreHandedThrough(t *testing.T) {
	s := newFlagSet(nil, 4, []config.Feature{{Name: "newChart", Mode: config.Enabled}, {Name: "oldChart", Mode: config.Disabled}, {Name: "batching", Mode: config.Disabled}}, time.Minute)
	flags, end := s.of(engine.Identity{SID: "1"})
	if got := fmt.Sprint(flags); end != nil || got != "map[batching:false beacon:true coalesce:true compression:true newChart:true oldChart:false replay:true sharedConnection:true sse:true unifiedStream:true]" {
		t.Errorf("%s, end %v", got, end)
	}
	if !s.off("batching") || s.off("replay") {
		t.Error("batching must be off, replay on")
	}
}

func TestTheRevisionMovesOnlyWithTheFlags(t *testing.T) {
	features := []config.Feature{{Name: "a", Mode: config.Enabled}}
	first := newFlagSet(nil, 4, features, time.Minute)
	if same := newFlagSet(first, 5, features, time.Minute); same != first {
		t.Error("the same flags became new ones")
	}
	if other := newFlagSet(first, 5, features, time.Hour); other == first || other.revision != 5 {
		t.Errorf("revision %d with another interval of reports", other.revision)
	}
	if next := newFlagSet(first, 6, nil, time.Minute); next.revision != 6 {
		t.Errorf("revision %d", next.revision)
	}
	if kept := newFlagSet(first, 4, nil, time.Minute); kept.revision != 5 {
		t.Errorf("revision %d of other flags under the same serial", kept.revision)
	}
}

func TestAPercentFeatureSticksToItsClientAndHitsItsShare(t *testing.T) {
	feature := config.Feature{Name: "newChart", Mode: config.Percent, Percent: 30, StickyBy: config.Client}
	s := newFlagSet(nil, 1, []config.Feature{feature}, time.Minute)
	const clients = 20000
	on := 0
	for i := range clients {
		who := engine.Identity{SID: fmt.Sprintf("s%d", i), Owner: engine.Owner{Subject: fmt.Sprintf("user-%d", i)}}
		flags, _ := s.of(who)
		who.SID = "another session"
		if again, _ := s.of(who); again["newChart"] != flags["newChart"] {
			t.Fatal("a user changed sides with a new session")
		}
		if flags["newChart"] {
			on++
		}
	}
	if share := 100 * on / clients; share < 28 || share > 31 {
		t.Errorf("%d %% of clients instead of 30", share)
	}
	feature.Percent = 60
	wider := newFlagSet(s, 2, []config.Feature{feature}, time.Minute)
	for i := range 1000 {
		who := engine.Identity{Owner: engine.Owner{Subject: fmt.Sprintf("user-%d", i)}}
		before, _ := s.of(who)
		after, _ := wider.of(who)
		if before["newChart"] && !after["newChart"] {
			t.Fatal("raising the percentage took the feature away from somebody")
		}
	}
}

func TestStickyBySessionIgnoresTheClient(t *testing.T) {
	f := config.Feature{Name: "x", Mode: config.Percent, Percent: 50, StickyBy: config.Session}
	if got := stickyKey(f, engine.Identity{SID: "s", Owner: engine.Owner{Subject: "u"}, Client: "192.0.2.1"}); got != "s" {
		t.Errorf("sticks to %q", got)
	}
	f.StickyBy = config.Client
	for want, who := range map[string]engine.Identity{
		"u":         {SID: "s", Owner: engine.Owner{Subject: "u"}, Client: "192.0.2.1"},
		"192.0.2.1": {SID: "s", Client: "192.0.2.1"},
		"s":         {SID: "s"},
	} {
		if got := stickyKey(f, who); got != want {
			t.Errorf("%+v sticks to %q", who, got)
		}
	}
}

func TestUnifiedStreamOffEndsStreamsForGood(t *testing.T) {
	s := newFlagSet(nil, 1, []config.Feature{{Name: "unifiedStream", Mode: config.Percent, Percent: 0}}, time.Minute)
	if _, end := s.of(engine.Identity{SID: "s"}); end == nil || end.Reason != "flag-off" || end.RetryMs != nil {
		t.Errorf("end %+v", end)
	}
}

func TestFlagsThatActOnTheEngineChangeItsTuning(t *testing.T) {
	_, hot := config.Default()
	hot.Features = []config.Feature{{Name: "batching", Mode: config.Disabled}, {Name: "replay", Mode: config.Percent}}
	tuning := tuningOf(hot, newFlagSet(nil, 1, hot.Features, time.Minute))
	if tuning.Batching.Window != 0 || tuning.Replay.Mode != config.Disabled {
		t.Errorf("tuning %+v", tuning)
	}
	if tuning.Batching.MaxEvents != hot.Batching.MaxEvents || tuning.Queue.MaxBytes != hot.Queue.MaxBytes {
		t.Errorf("tuning %+v", tuning)
	}
}

func TestSSEOffSendsStreamsAwayForAWhileAndLeavesPollsAlone(t *testing.T) {
	s := newFlagSet(nil, 1, []config.Feature{{Name: "sse", Mode: config.Disabled}}, time.Minute)
	if _, end := s.of(engine.Identity{SID: "s", Poll: true}); end != nil {
		t.Errorf("a poll is ended: %+v", end)
	}
	least, most := int64(1<<62), int64(0)
	for i := range 1000 {
		_, end := s.of(engine.Identity{SID: fmt.Sprint(i)})
		if end == nil || end.Reason != "flag-off" || end.Status != 503 || end.RetryMs == nil {
			t.Fatalf("end %+v", end)
		}
		least, most = min(least, *end.RetryMs), max(most, *end.RetryMs)
	}
	if least < 30000 || most > 60000 || most-least < 25000 {
		t.Errorf("clients come back after %d to %d ms", least, most)
	}
}
