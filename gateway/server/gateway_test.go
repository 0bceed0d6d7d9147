package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// gateway is a whole gateway on loopback.
type gateway struct {
	*Server
	t           *testing.T
	base, admin string
	stop        context.CancelFunc // as SIGTERM does
	ended       chan error
	serial      int64
}

// start runs a gateway that everybody may publish to, with a short drain.
func start(t *testing.T, change func(*Options)) *gateway {
	t.Helper()
	return startAltered(t, change, func(*Server) {})
}

// startAltered is start of a gateway whose parts the test has changed.
func startAltered(t *testing.T, change func(*Options), alter func(*Server)) *gateway {
	t.Helper()
	g := launch(t, change, alter)
	g.eventually("ready", func() bool { return g.status(g.admin+report.ReadyzPath) == 200 })
	return g
}

// launch is startAltered of a gateway that need not become ready.
func launch(t *testing.T, change func(*Options), alter func(*Server)) *gateway {
	t.Helper()
	o := Options{Version: "test", Dev: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Pod: "prices-0", Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	alter(s)
	if o.TemplateHash == "" { // else the test brings a drain of its own
		s.cold.Drain = config.Drain{Timeout: time.Second}
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &gateway{Server: s, t: t, stop: stop, ended: make(chan error, 1), serial: 1}
	main, admin := s.Addresses()
	g.base, g.admin = "http://"+main+"/v2/realtime", "http://"+admin
	go func() { g.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-g.ended:
			if err != nil {
				t.Errorf("the gateway ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("the gateway did not end")
		}
		g.ended <- nil
	})
	return g
}

// patience is how long tests wait for what has to come. It only says how late a
// hang is told: a machine that does ten other things at once is never that slow.
const patience = 2 * time.Minute

func (g *gateway) eventually(what string, ok func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("not in time: %s", what)
		}
	}
}

func (g *gateway) status(url string) int {
	res, err := http.Get(url)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// get reads a JSON answer.
func (g *gateway) get(url string, into any) {
	g.t.Helper()
	res, err := http.Get(url)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil || res.StatusCode != 200 {
		g.t.Fatalf("GET %s: %d, %v", url, res.StatusCode, err)
	}
}

func (g *gateway) report() (r report.Report) {
	g.t.Helper()
	g.get(g.admin+report.Path, &r)
	return r
}

// post publishes one event and gives the answer.
func (g *gateway) post(channel, data string) (status int, body string) {
	g.t.Helper()
	res, err := http.Post(g.base+"/channels/"+channel+"/events", "application/json", strings.NewReader(data))
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// document writes the default document with a change, under the next serial.
func (g *gateway) document(change func(*config.Hot)) []byte {
	g.t.Helper()
	_, hot := config.Default()
	hot.Auth.Publishers.Mode = config.ModeAnonymous
	change(&hot)
	g.serial++
	text, err := config.Encode(config.Document{Serial: g.serial, Stable: config.Revision{Name: fmt.Sprintf("r%d", g.serial), Hot: hot}})
	if err != nil {
		g.t.Fatal(err)
	}
	return text
}

// frame is one event of a stream.
type frame struct {
	id, event, data string
	at              time.Time
}

// stream is an open stream whose frames arrive in a channel; it is closed at
// the end of the stream.
type stream struct {
	t      *testing.T
	frames chan frame
	header http.Header
	once   sync.Once
	body   io.Closer
}

func (g *gateway) open(query string, header ...string) *stream {
	g.t.Helper()
	r, err := http.NewRequest("GET", g.base+"/stream?"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	if res.StatusCode != 200 {
		g.t.Fatalf("opening a stream: %d", res.StatusCode)
	}
	s := &stream{t: g.t, frames: make(chan frame, 10000), header: res.Header, body: res.Body}
	g.t.Cleanup(s.close)
	go s.read(res.Body)
	return s
}

func (s *stream) close() { s.once.Do(func() { _ = s.body.Close() }) }

func (s *stream) read(body io.Reader) {
	defer close(s.frames)
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	var f frame
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "":
			if f != (frame{}) {
				f.at = time.Now()
				s.frames <- f
			}
			f = frame{}
		case "id":
			f.id = value
		case "event":
			f.event = value
		case "data":
			f.data += value
		}
	}
}

// next gives the next frame that is wanted; other control frames are passed
// over. want is an event's name, or "" for data.
func (s *stream) next(want string) frame {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case f, ok := <-s.frames:
			if !ok {
				s.t.Fatalf("the stream ended before %q came", want)
			}
			if f.event == want {
				return f
			}
		case <-deadline:
			s.t.Fatalf("%q never came", want)
		}
	}
}

// closed waits for the end of the stream and gives the last frame.
func (s *stream) closed() (last frame) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case f, ok := <-s.frames:
			if !ok {
				return last
			}
			last = f
		case <-deadline:
			s.t.Fatal("the stream never ended")
		}
	}
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	// As editors and the kubelet do: the reader never sees half of it.
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func inFolder(t *testing.T, name string, text []byte) string {
	t.Helper()
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, name), text)
	return folder
}
