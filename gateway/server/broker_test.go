package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// launchShared runs a gateway over a log of these servers, not ready yet.
func launchShared(t *testing.T, s *natstest.Servers, pod string) *gateway {
	t.Helper()
	main := fmt.Sprintf("127.0.0.1:%d", natstest.FreePort(t))
	cold, _ := config.Default()
	cold.Drain = config.Drain{Timeout: time.Second}
	cold.Broker = config.Broker{Type: config.BrokerNATS, SubjectPrefix: "sg.shop.prices", NATS: config.NATS{URL: s.URL()}}
	text, err := config.Encode(cold)
	if err != nil {
		t.Fatal(err)
	}
	folder := inFolder(t, "cold.abc.json", text)
	writeFile(t, filepath.Join(folder, config.HotKey), (&gateway{t: t}).document(func(h *config.Hot) {
		h.CircuitBreaker.OpenDuration = 300 * time.Millisecond
		h.Limits.Publish.PerPublisherEventsPerSecond = 0
	}))
	g := launch(t, func(o *Options) {
		o.Dev, o.Config, o.TemplateHash, o.Listen, o.Pod = false, folder, "abc", main, pod
	}, func(*Server) {})
	g.base = "http://" + main + "/v2/realtime"
	return g
}

func (g *gateway) readyShared() *gateway {
	g.t.Helper()
	natstest.Eventually(g.t, "ready", func() bool { return g.status(g.admin+report.ReadyzPath) == http.StatusOK })
	return g
}

func TestGatewayWaitsForItsServersAliveAndNotReady(t *testing.T) {
	s := natstest.Start(t, 1)
	s.Stop(0)
	g := launchShared(t, s, "prices-0")
	natstest.Eventually(t, "the reason on the admin port", func() bool {
		res, err := http.Get(g.admin + report.ReadyzPath)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return err == nil && res.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(text), "connecting to NATS")
	})
	if status := g.status(g.admin + report.HealthzPath); status != http.StatusOK {
		t.Errorf("healthz says %d", status)
	}
	if conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(g.base, "http://"), "/v2/realtime")); err == nil {
		t.Errorf("%s takes clients already", conn.RemoteAddr())
	}
	s.Run(0)
	g.readyShared()
	if status, body := g.post("prices", `1`); status != http.StatusOK || !strings.Contains(body, `"durability":"memory"`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestGatewayEndsInOrderWhileItWaitsForItsServers(t *testing.T) {
	s := natstest.Start(t, 1)
	s.Stop(0)
	g := launchShared(t, s, "prices-0")
	natstest.Eventually(t, "alive", func() bool { return g.status(g.admin+report.HealthzPath) == http.StatusOK })
	g.stop() // launch's cleanup wants it to end without an error
}

func TestBreakerOpensTowardsAStoppedServerAndClosesWhenItIsBack(t *testing.T) {
	s := natstest.Start(t, 1)
	g := launchShared(t, s, "prices-0").readyShared()
	reader := g.open("channels=prices")
	reader.next("sg.caught-up")
	g.post("prices", `"before"`)
	reader.next("")
	s.Stop(0)
	for range 5 {
		if status, body := g.post("prices", `"lost"`); status != http.StatusServiceUnavailable || !strings.Contains(body, "broker-unavailable") {
			t.Errorf("an outage is answered %d %s", status, body)
		}
	}
	natstest.Eventually(t, "the breaker opens", func() bool { return g.report().CircuitBreaker.Opened == 1 })
	if r := g.report(); !r.Ready || r.Connections.Active != 1 {
		t.Errorf("ready %v with %d streams: both outlive the log", r.Ready, r.Connections.Active)
	}
	if m := g.metrics(); m.Broker.Connected || m.Broker.Kind != "jetstream" {
		t.Errorf("the metrics say %+v", m.Broker)
	}
	if text := g.scrape("text/plain"); !strings.Contains(text, `sg_log_connected{broker="jetstream"} 0`) {
		t.Error("the scrape says nothing of it")
	}
	s.Run(0)
	natstest.Eventually(t, "the breaker closes", func() bool { return g.report().CircuitBreaker.State == report.CircuitClosed })
	natstest.Eventually(t, "publishes are taken", func() bool { status, _ := g.post("prices", `"after"`); return status == http.StatusOK })
	for f := reader.next(""); f.data != `"after"`; f = reader.next("") {
		if f.data != `"lost"` { // its publisher was told that nobody knows
			t.Fatalf("the stream goes on with %s", f.data)
		}
	}
}

// TestClientMovesBetweenGatewaysOverOneLog publishes to both, reads from one and
// goes on at the other.
func TestClientMovesBetweenGatewaysOverOneLog(t *testing.T) {
	s := natstest.Start(t, 1)
	one, two := launchShared(t, s, "prices-0").readyShared(), launchShared(t, s, "prices-1").readyShared()
	if a, b := one.metrics().Broker.Epoch, two.metrics().Broker.Epoch; a != b {
		t.Fatalf("epochs %s and %s", a, b)
	}
	reader := one.open("channels=prices")
	reader.next("sg.caught-up")
	last := ""
	const events = 60
	for i := range events {
		status, body := []*gateway{one, two}[i%2].post("prices", fmt.Sprint(i))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		f := reader.next("")
		if f.data != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, f.data)
		}
		last = f.id
		if i%5 != 4 {
			continue
		}
		// Moves at once: the other one may not have the event yet.
		reader = []*gateway{two, one}[i/5%2].open("channels=prices&cursor=" + last)
		var open struct{ Resume string }
		if err := json.Unmarshal([]byte(reader.next("sg.open").data), &open); err != nil || open.Resume != "complete" {
			t.Fatalf("%+v, %v", open, err)
		}
		reader.next("sg.caught-up")
	}
	// One that starts now has what was before it.
	late := launchShared(t, s, "prices-2").readyShared()
	reader = late.open("channels=prices&cursor=earliest")
	for i := range events {
		if f := reader.next(""); f.data != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, f.data)
		}
	}
}

func TestSecretsOfTheBrokerNeedAFolder(t *testing.T) {
	cold, _ := config.Default()
	cold.Broker = config.Broker{Type: config.BrokerNATS, SubjectPrefix: "sg.a", NATS: config.NATS{URL: "nats://localhost:1", CASecretRef: config.SecretRef{Name: "ca"}}}
	text, err := config.Encode(cold)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Config: inFolder(t, "cold.json", text)}); err == nil || !strings.Contains(err.Error(), "--nats-path") {
		t.Error(err)
	}
}
