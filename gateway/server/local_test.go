package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/console"
)

func withConsole(o *Options) { o.Local = "127.0.0.1:0" }

func (g *gateway) consoleData() (d console.Data) {
	g.t.Helper()
	g.get("http://"+g.console()+console.DataPath, &d)
	return d
}

func TestTheConsoleShowsWhatThePodDoes(t *testing.T) {
	g := start(t, withConsole)
	s := g.open("channels=a,b.*")
	s.next("sg.caught-up")
	for i := range 3 {
		g.post("a", fmt.Sprint(i))
	}
	g.post("b.x", "1")
	g.post("nobody", "1")
	g.eventually("the writes are counted", func() bool { return g.report().Events.Delivered == 4 })
	d := g.consoleData()
	if len(d.Channels) != 3 || d.Channels[0].Name != "a" || d.Channels[0].Readers != 1 || d.Channels[0].EventsPerSecond != 0.05 ||
		time.Since(time.UnixMilli(d.Channels[0].Newest)).Abs() > 10*time.Second || d.Channels[1].Readers != 1 || d.Channels[2].Readers != 0 {
		t.Errorf("channels %+v", d.Channels)
	}
	if d.Config.Serial != 1 || d.Config.Revision != "default" || d.Config.Refused != "" || d.Pod != "prices-0" || d.Version != "test" {
		t.Errorf("%+v", d)
	}
	sum := uint64(0)
	for _, n := range d.Latency {
		sum += n
	}
	if sum == 0 || len(d.Bounds) < len(d.Latency) || d.Bounds[0] != 0.5 || len(d.Past) == 0 || d.Past[0].Published != 0 {
		t.Errorf("latency %v by %v, past %+v", d.Latency, d.Bounds, d.Past)
	}
	if m := d.Metrics.(map[string]any)["connections"].(map[string]any); m["active"] != 1.0 {
		t.Errorf("connections %v", m)
	}
	g.config.take(g.document(func(h *config.Hot) { h.Batching.MaxEvents = 0 }))
	if d := g.consoleData(); !strings.Contains(d.Config.Refused, "batching.maxEvents") {
		t.Errorf("refused: %q", d.Config.Refused)
	}
}

func TestTheConsoleNamesReadersThatLagAndTheirRequests(t *testing.T) {
	g := start(t, withConsole)
	// The other half of this connection never reads.
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(g.base, "http://"), "/v2/realtime"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /v2/realtime/stream?channels=a HTTP/1.1\r\nHost: x\r\nX-Request-Id: from-the-edge-7\r\n\r\n")
	if _, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	big := `"` + strings.Repeat("x", 60000) + `"`
	g.eventually("the reader lags", func() bool {
		g.post("a", big)
		return len(g.consoleData().Slow) > 0
	})
	r := g.consoleData().Slow[0]
	if r.Request != "from-the-edge-7" || r.Client != "127.0.0.1" || r.Gzip || r.Subscriptions != 1 || r.LagEvents == 0 || r.LagBytes < 60000 {
		t.Errorf("%+v", r)
	}
}

// A page of the web whose name points here would read the console through the
// browser of whoever forwards the port.
func TestTheConsoleAnswersUnderThisMachinesNamesOnly(t *testing.T) {
	g := start(t, withConsole)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:6060": 200, "127.0.0.1": 200, "127.0.0.1:6060": 200, "[::1]:6060": 200, "127.9.9.9:1": 200,
		"evil.example": 403, "evil.example:6060": 403, "localhost.evil.example": 403, "10.0.0.7:6060": 403, "[::1": 403, "127.0.0.1.evil.example": 403,
	} {
		for _, path := range []string{"/", console.DataPath, "/console.js"} {
			r, err := http.NewRequest("GET", "http://"+g.console()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body) // a refusal is judged by its status
			_ = res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%s of %s is answered %d: %.60s", path, host, res.StatusCode, body)
			}
			if csp := res.Header.Get("Content-Security-Policy"); want == 200 && !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("%s has the policy %q", path, csp)
			}
		}
	}
}

func TestWithoutItsPortThereIsNoConsoleAndTheRestServes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	j := &journal{}
	g := start(t, func(o *Options) { o.Local, o.Log = taken.Addr().String(), slog.New(slog.NewJSONHandler(j, nil)) })
	if status, body := g.post("a", "1"); status != 200 || len(j.lines(t, "there is no console")) != 1 {
		t.Errorf("publishing is answered %d %s, the log says\n%s", status, body, j)
	}
}

// Nothing that somebody gave as a credential is shown, and no event's data.
func TestTheConsoleShowsNoSecretAndNoData(t *testing.T) {
	g := start(t, withConsole)
	g.open("channels=a&access_token=s3cr3t", "Authorization", "Bearer s3cr3t", "Cookie", "__Host-sg=s3cr3t").next("sg.caught-up")
	g.post("a", `"s3cr3t"`)
	if text, err := json.Marshal(g.consoleData()); err != nil || strings.Contains(string(text), "s3cr3t") {
		t.Errorf("%v: %s", err, text)
	}
}
