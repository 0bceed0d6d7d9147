package server

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func TestTheLimitOfTheContainerIsFoundInBothVersionsOfCgroups(t *testing.T) {
	for name, c := range map[string]struct {
		files          fstest.MapFS
		limit, sockets int64
	}{
		"a pod with version 2": {files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "805306368\n",
			"sys/fs/cgroup/memory.stat", "anon 1\nsock 5000\nshmem 3\n"), 805306368, 5000},
		"a service with version 2": {files("proc/self/cgroup", "0::/system.slice/sg\n", "sys/fs/cgroup/system.slice/sg/memory.max", "1000\n",
			"sys/fs/cgroup/system.slice/sg/memory.stat", "sock 7\n"), 1000, 7},
		"no limit with version 2": {files("proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "max\n"), 0, 0},
		"version 1 beside an empty version 2": {files("proc/self/cgroup", "4:memory:/pod/1\n0::/\n",
			"sys/fs/cgroup/memory/pod/1/memory.limit_in_bytes", "2000\n",
			"sys/fs/cgroup/memory/pod/1/memory.kmem.tcp.usage_in_bytes", "11\n"), 2000, 11},
		"version 1 seen from inside its own folder": {files("proc/self/cgroup", "4:memory:/pod/1\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n"), 3000, 0},
		"no limit with version 1": {files("proc/self/cgroup", "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"), 0, 0},
		"another system": {files(), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := findCgroup(c.files)
			if limit, sockets := g.limitBytes(), g.socketBytes(); limit != c.limit || sockets != c.sockets {
				t.Errorf("limit %d, sockets %d, want %d, %d", limit, sockets, c.limit, c.sockets)
			}
		})
	}
}

func TestStagesBeginOneAfterTheOtherAndEndALittleBelow(t *testing.T) {
	a := &account{budget: 1000}
	for _, step := range []struct {
		total int64
		want  stage
	}{
		{749, stageCalm}, {750, stageTrim}, {700, stageTrim}, {699, stageCalm}, {820, stageCut}, {770, stageCut}, {769, stageTrim},
		{899, stageCut}, {900, stageRefuse}, {860, stageRefuse}, {849, stageCut}, {960, stageForget}, {901, stageForget}, {899, stageRefuse}, {100, stageCalm},
	} {
		if now := a.judge(step.total); now != step.want || a.stage() != now {
			t.Errorf("at %d of 1000: %d, want %d", step.total, now, step.want)
		}
	}
	if now := (&account{}).judge(1 << 50); now != stageCalm {
		t.Error("a pod without a limit is short of memory")
	}
}

func TestWhatIsKeptGoesInTheOrderOfWhatItCostsClients(t *testing.T) {
	const mb = 1 << 20
	u := usage{ring: 60 * mb, rest: 38 * mb}
	plenty := fanout.DefaultMemory()
	for at, want := range map[stage]engine.Memory{
		stageCalm:   {Memory: plenty},
		stageTrim:   {Memory: fanout.Memory{Segments: trimmedSegments, Pinned: plenty.Pinned}},
		stageCut:    {Memory: fanout.Memory{Segments: trimmedSegments, Pinned: fewerPinned}},
		stageRefuse: {Memory: fanout.Memory{Segments: trimmedSegments, Pinned: fewerPinned}, Log: 7},
		stageForget: {Memory: fanout.Memory{Segments: trimmedSegments, Pinned: fewerPinned}, Log: 54 * mb},
	} {
		if got := memoryAt(at, u, 100*mb, 7); got != want {
			t.Errorf("stage %d: %+v, want %+v", at, got, want)
		}
	}
	if got := memoryAt(stageForget, usage{ring: 2 * mb, rest: 200 * mb}, 100*mb, 0); got.Log != leastLog {
		t.Errorf("with no room at all: %+v", got)
	}
}

// Under a budget that its events do not fit into, a gateway forgets events
// before their time rather than to die, says so, and takes events all the while.
func TestAPodWithoutMemoryForgetsEarlyAndSaysSo(t *testing.T) {
	s := withoutJanitor(t)
	event := wire.Event{Channel: "a", Kind: wire.Text, Data: []byte(strings.Repeat("x", 60000))}
	fill := func(megabytes int) {
		for range megabytes * 17 {
			if _, err := s.guard.Append(t.Context(), []wire.Event{event}, broker.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(24)
	runtime.GC()
	other := liveBytes() - s.engine.LogStats().Bytes // of this process, all tests
	s.memory.budget = other + 20<<20
	s.weigh()
	s.weigh()
	held := s.engine.LogStats()
	if total := s.memory.last.Load().total(); total > s.memory.budget/100*96 || held.Bytes > 20<<20 || held.EvictedMemory == 0 || !held.Short {
		t.Errorf("%d MiB of %d are used, the log is %+v", total>>20, s.memory.budget>>20, held)
	}
	fill(24)
	if held := s.engine.LogStats(); held.Bytes > 20<<20 {
		t.Errorf("after as much again the log has %d MiB", held.Bytes>>20)
	}
	s.weigh()
	if m, r := s.metrics(), s.report(); !slices.Contains(m.Health.Reasons, "replay-short") || !slices.Contains(m.Health.Reasons, "memory") || !r.Replay.Short {
		t.Errorf("health %+v, report %+v", m.Health, r.Replay)
	}
	s.memory.budget = 0
	s.weigh()
	fill(24)
	if held := s.engine.LogStats(); held.Bytes < 24<<20 {
		t.Errorf("with memory again the log keeps %d MiB", held.Bytes>>20)
	}
}

// withoutJanitor is a gateway that cleans up and weighs only when the test says.
func withoutJanitor(t *testing.T) *Server {
	t.Helper()
	s, err := New(Options{Dev: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	pumped := make(chan error, 1)
	go func() { pumped <- s.pump(ctx) }()
	if err := s.awaitLog(ctx, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-pumped; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s.engine.Close()
	})
	return s
}

func TestAFullGatewayRefusesNewStreamsAndSaysSo(t *testing.T) {
	s, err := New(Options{Dev: true, Log: slog.New(slog.DiscardHandler)}) // not run: nobody else weighs
	if err != nil {
		t.Fatal(err)
	}
	defer s.engine.Close()
	client := limit.Client{Address: netip.MustParseAddr("192.0.2.1")}
	s.memory.budget = 1 // as in a container that is far too small
	s.weigh()
	if health := s.metrics().Health; health.Status != "degraded" || !slices.Equal(health.Reasons, []string{"memory"}) {
		t.Errorf("health is %+v", health)
	}
	if over := s.streams.Acquire(client); over == nil || over.Name != limit.NameMemory || over.Value != 1 {
		t.Errorf("let in, or refused for another reason: %+v", over)
	}
	s.memory.budget = 0
	s.weigh()
	if over := s.streams.Acquire(client); over != nil || s.metrics().Health.Status != "ok" {
		t.Errorf("afterwards: %+v, health %+v", over, s.metrics().Health)
	}
	if u := s.memory.last.Load(); u.rest <= 0 {
		t.Errorf("used is %+v", u)
	}
}

func TestACrowdIsOverWhenManyHaveComeOrGoneAndNobodyElseDoes(t *testing.T) {
	c := crowd{}
	for i, step := range []struct {
		streams int
		over    bool
	}{
		{0, false}, {900, false}, {900, false}, // no crowd
		{1000, false}, {4000, false}, {4001, false}, {4001, true}, {4001, false},
		{3100, false}, {3100, false}, {3001, false}, {3001, true}, {3001, false},
		{4001, false}, {3001, false}, {3001, false}, // came and went between two collections
	} {
		if got := c.over(step.streams); got != step.over {
			t.Errorf("step %d: %v with %d streams", i, got, step.streams)
		}
	}
}
