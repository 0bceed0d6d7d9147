package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/report"
	"github.com/streamgateway/streamgateway/gateway/transport"
)

// quickAudit is how often gateways audit themselves in tests: a connection
// lives about 150 ms, and all eight ways of reading take a second or two.
const quickAudit = 5 * time.Millisecond

// audits waits until so many events were read back.
func (g *gateway) audits(n uint64) report.Audit {
	g.t.Helper()
	g.eventually(fmt.Sprintf("%d events read back", n), func() bool { return g.report().Audit.Checked >= n })
	return *g.report().Audit
}

func TestTheAuditorReadsItsEventsBackInAllWaysAndOverCuts(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"over taken sockets":        func(*Options) {},
		"over net/http":             func(o *Options) { o.GenericTransport = true },
		"on every address":          func(o *Options) { o.Listen = ":0" },
		"where pods have odd names": func(o *Options) { o.Pod = "Ämt 7/" + strings.Repeat("x", 300) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, func(o *Options) { o.AuditEvery = quickAudit; change(o) })
			if a := g.audits(500); a.Lost != 0 {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestTheAuditorWorksWithTLSAndWhateverMayBeReadOrPublished(t *testing.T) {
	g := withSecret(t, func(h *config.Hot) {
		h.Auth.Publishers.Mode = config.ModeKubernetes
		h.Auth.Subscribers.AnonymousChannels = []string{"prices.>"}
		h.Connections.MaxPerPod, h.Limits.Connect = 1, config.Connect{PerSecond: 1, Burst: 1}
		h.Features = []config.Feature{{Name: "sse", Mode: config.Disabled}, {Name: "unifiedStream", Mode: config.Disabled}}
	}, func(o *Options) { o.AuditEvery = quickAudit })
	g.rotate(t, 1, time.Now().Add(time.Hour))
	g.opened()
	g.audits(200)
	g.rotate(t, 2, time.Now().Add(time.Hour))
	g.eventually("the new certificate is used", func() bool { return g.serial() == 2 })
	if a := g.audits(g.report().Audit.Checked + 200); a.Lost != 0 {
		t.Errorf("%+v", a)
	}
}

// TestAnAuditedGatewayIsIdle compares a scrape with one of later: but for the
// auditor's own, and those of time and memory, no number has moved.
func TestAnAuditedGatewayIsIdle(t *testing.T) {
	g := start(t, func(o *Options) { o.AuditEvery = quickAudit })
	g.audits(1)
	before, reported := g.numbers(), g.report()
	g.audits(300)
	if diff := cmp.Diff(before, g.numbers()); diff != "" {
		t.Errorf("metrics moved: %s", diff)
	}
	now := g.report()
	for _, r := range []*report.Report{&reported, &now} {
		r.Time, r.Audit, r.Replay.Bytes = time.Time{}, nil, 0
	}
	if diff := cmp.Diff(reported, now); diff != "" {
		t.Errorf("the report moved: %s", diff)
	}
	var m transport.Metrics
	g.get(g.base+"/metrics", &m)
	if n := m.Health.NoLoss; !n.Verified || n.Checked < 300 || n.Lost != 0 || time.Since(time.UnixMilli(n.LastAudit)) > time.Minute || m.Health.Status != "ok" {
		t.Errorf("%+v", m.Health)
	}
	if m.Connections.Active+m.Connections.Peak != 0 || m.Events.Published != 0 {
		t.Errorf("%+v %+v", m.Connections, m.Events)
	}
}

// numbers are the lines of a scrape that an idle gateway repeats.
func (g *gateway) numbers() []string {
	g.t.Helper()
	res, err := http.Get(g.admin + report.MetricsPath)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool {
		for _, moving := range []string{"sg_audit_", "sg_memory_bytes", "sg_ring_bytes", "sg_loop_busy_ratio", "sg_cleanup_seconds", "go_", "process_", "#"} {
			if strings.HasPrefix(line, moving) {
				return true
			}
		}
		return false
	})
}

// losing is a log whose subscribers never hear of one event: it goes to a
// channel that nobody reads.
type losing struct {
	broker.Log
	lose atomic.Int64 // events of the gateway itself until one is lost; 0 = none is
}

func (l *losing) Tail(ctx context.Context, after uint64, take func([]wire.Record) error) error {
	return l.Log.Tail(ctx, after, func(records []wire.Record) error {
		records = slices.Clone(records)
		for i := range records {
			if wire.Own(records[i].Channel) && l.lose.Load() > 0 && l.lose.Add(-1) == 0 {
				records[i].Channel = "elsewhere"
			}
		}
		return take(records)
	})
}

func TestALostEventIsFoundAndTold(t *testing.T) {
	log := &losing{}
	g := startAltered(t, func(o *Options) { o.AuditEvery = quickAudit }, func(s *Server) { log.Log, s.events = s.events, log })
	g.audits(50)
	if a := g.report().Audit; a.Lost != 0 || !a.LastLoss.IsZero() {
		t.Fatalf("before any loss: %+v", a)
	}
	log.lose.Store(3)
	g.eventually("the loss", func() bool { return g.report().Audit.Lost == 1 })
	a := g.audits(g.report().Audit.Checked + 50)
	if a.Lost != 1 || !a.Broken(time.Now()) || a.Verified(time.Now()) || !strings.Contains(a.Message, "were acknowledged and never came") {
		t.Errorf("%+v", a)
	}
	var m transport.Metrics
	g.get(g.base+"/metrics", &m)
	if m.Health.Status != "failing" || !slices.Contains(m.Health.Reasons, "audit-failed") || m.Health.NoLoss.Lost != 1 || m.Health.NoLoss.Verified {
		t.Errorf("%+v", m.Health)
	}
}

// TestTheAuditorRaisesNoFalseAlarm lets everything happen at once that may take
// events from clients: slow ones, changes of every limit, resets, restarts of
// streams, a log that fails now and then.
func TestTheAuditorRaisesNoFalseAlarm(t *testing.T) {
	hot := filepath.Join(t.TempDir(), config.HotKey)
	quiet := &gateway{t: t, serial: 0}
	writeFile(t, hot, quiet.document(func(*config.Hot) {}))
	log := &refusing{}
	g := startAltered(t, func(o *Options) { o.Dev, o.Config, o.AuditEvery = false, hot, quickAudit }, func(s *Server) { log.Log, s.events = s.events, log })
	g.audits(50)
	stuck := g.open("channels=busy") // nobody reads its frames beyond its buffer
	big := `"` + strings.Repeat("x", 30000) + `"`
	for i := range 12 {
		writeFile(t, hot, quiet.document(func(h *config.Hot) {
			h.Queue.MaxEvents, h.Queue.MaxBytes = 1+i, 256<<10
			h.Batching = config.Batching{Window: time.Duration(i%2) * 20 * time.Millisecond, MaxEvents: 1 + i%2, MaxBytes: 64 << 10}
			h.Limits.MaxEventBytes = 64 << 10
			h.Replay.Mode = []string{config.Enabled, config.Disabled}[i%2]
			h.Replay.MaxBytes = 1 << 20 // a few seconds of what is published here
			h.Compression.Mode = []string{config.Auto, config.Disabled}[i/2%2]
			h.Limits.Delivery.EventsPerSecond = 5 + 300*(i%2)
		}))
		log.fail.Store(i%4 == 3)
		for range 20 {
			g.post("busy", big)
		}
		time.Sleep(150 * time.Millisecond)
	}
	log.fail.Store(false)
	a := g.audits(g.report().Audit.Checked + 50)
	t.Logf("%+v; the ring evicted %d events, %d streams were reset", a, g.engine.Stats().Ring.EvictedBytes, g.engine.Stats().Resumes.Reset)
	if a.Lost != 0 {
		t.Errorf("%+v", a)
	}
	stuck.close()
}

// refusing is a log that refuses what it is given.
type refusing struct {
	broker.Log
	fail atomic.Bool
}

func (f *refusing) Append(ctx context.Context, events []wire.Event, o broker.AppendOptions) ([]broker.AppendResult, error) {
	if f.fail.Load() && len(events) > 0 {
		return nil, broker.ErrUnavailable
	}
	return f.Log.Append(ctx, events, o)
}

func TestTheDoorOfTheAuditorIsShutToOthers(t *testing.T) {
	g := start(t, func(o *Options) { o.AuditEvery = quickAudit })
	g.audits(1)
	ask := func(remote, authorization string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, g.own.address.Load()), http.MethodGet, "/v2/realtime/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = remote
		r.Header.Set("Authorization", authorization)
		inside := 0
		w := &codeOf{header: http.Header{}}
		g.door(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside = 1 })).ServeHTTP(w, r)
		return inside
	}
	credential := string(g.own.credential)
	for name, c := range map[string]struct {
		remote, authorization string
		others                int
	}{
		"the auditor":                   {"127.0.0.1:1", credential, 0},
		"the auditor over IPv6":         {"[::1]:1", credential, 0},
		"the credential from elsewhere": {"10.1.2.3:1", credential, 1},
		"another credential":            {"127.0.0.1:1", credential + "x", 1},
		"none":                          {"127.0.0.1:1", "", 1},
	} {
		if got := ask(c.remote, c.authorization); got != c.others {
			t.Errorf("%s: handed on %d times, want %d", name, got, c.others)
		}
	}
}

type codeOf struct{ header http.Header }

func (c *codeOf) Header() http.Header         { return c.header }
func (c *codeOf) Write(b []byte) (int, error) { return len(b), nil }
func (c *codeOf) WriteHeader(int)             {}

func TestClientsCannotReadOrPublishWhatIsTheGatewaysOwn(t *testing.T) {
	g := start(t, func(o *Options) { o.AuditEvery = quickAudit })
	g.audits(1)
	if code, body := g.post("$sg.canary.prices-0", "1"); code != 422 && code != 400 {
		t.Errorf("publishing: %d %s", code, body)
	}
	if code := g.status(g.base + "/stream?errors=http&channels=$sg.canary.prices-0"); code != 400 {
		t.Errorf("reading: %d", code)
	}
	all := g.open("channels=" + ">")
	g.audits(g.report().Audit.Checked + 20)
	g.post("prices", `"mine"`)
	if f := all.next(""); f.data != `"mine"` {
		t.Errorf("a client of all channels got %+v", f)
	}
}

func TestAPinnedCertificateIsTheOneInUseAndNoOther(t *testing.T) {
	g := startSecured(t)
	pinned := g.certificate.pinned()
	ask := func() error {
		conn, err := tls.Dial("tcp", g.address(), pinned)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	other := startSecured(t)
	if conn, err := tls.Dial("tcp", other.address(), pinned); err == nil || !strings.Contains(err.Error(), "another certificate") {
		t.Errorf("another gateway is taken: %v, %v", conn, err)
	}
}

func (g *gateway) address() string { address, _ := g.Addresses(); return address }
