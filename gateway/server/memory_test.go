package server

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/fstest"

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

func TestStreamsAreRefusedAtNineTenthsAndLetInAgainALittleBelow(t *testing.T) {
	a := &account{budget: 1000}
	for _, step := range []struct {
		total int64
		full  bool
	}{{899, false}, {900, true}, {860, true}, {849, false}, {899, false}, {901, true}} {
		if full := a.judge(step.total); full != step.full {
			t.Errorf("at %d of 1000: full %v", step.total, full)
		}
	}
	if (&account{}).judge(1 << 50) {
		t.Error("a pod without a limit is full")
	}
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
