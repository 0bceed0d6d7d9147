package transport

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// session asks about a running stream.
func (p *pod) session(t *testing.T, method, sid, body string) (*http.Response, string) {
	t.Helper()
	routes := Routes{Stream: p, Publish: http.NotFoundHandler(), History: NewHistory(p.engine, p.rights), Sessions: NewSessions(p.engine, p.rights), Log: slog.New(slog.DiscardHandler)}
	return ask(t, routes.Handler(), method, Base+"/sessions/"+sid, body, "Content-Type", "application/json")
}

// sid is the id of the session, under the name as it is on the wire.
func (r *recorder) sid() string { return map[string][]string(r.header)["SG-Session"][0] }

func TestAStreamChangesItsSubscriptionsAndIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		p.publish(wire.Event{Channel: "orders.77", Data: []byte("1")})
		r, leave := p.get(t, "channels=orders.5")
		sid := r.sid()
		res, body := p.session(t, "PATCH", sid, `{"add":["orders.77","revenue.>"],"remove":["orders.5"],"from":{"orders.77":"k3f9x2.0"},"x":1}`)
		want := `{"sid":"` + sid + `","rev":2,"channels":["orders.77","revenue.>"],"denied":[],"effective":"k3f9x2.1"}`
		if res.StatusCode != 200 || body != want {
			t.Errorf("%d %s, want %s", res.StatusCode, body, want)
		}
		decodeShape[any](t, "session", body)
		synctest.Wait()
		p.publish(wire.Event{Channel: "orders.5", Data: []byte("2")}, wire.Event{Channel: "revenue.eu", Data: []byte("3")})
		time.Sleep(time.Second)
		if res, body := p.session(t, "DELETE", sid, ""); res.StatusCode != 204 || body != "" {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		synctest.Wait()
		leave()
		golden(t, "patch.sse", r.transcript())
		if res, body := p.session(t, "DELETE", sid, ""); res.StatusCode != 404 || !strings.Contains(body, KindSessionGone) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
	})
}

func TestBadChangesOfAStreamAreRefusedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		r, leave := p.get(t, "channels=a")
		defer leave()
		sid := r.sid()
		for _, c := range []struct {
			name, sid, body, kind string
			status                int
		}{
			{"another session", "24208e59.AAAAAAAAAAAAAAAAAAAAAA", `{"add":["b"]}`, KindSessionGone, 404},
			{"nothing", sid, `{}`, KindInvalidParameter, 400},
			{"a token where there are none", sid, `{"token":"x"}`, KindUnauthenticated, 401},
			{"no object", sid, `["b"]`, KindInvalidJSON, 400},
			{"a bad name to add", sid, `{"add":["b","c c"]}`, KindInvalidChannel, 400},
			{"a bad name to remove", sid, `{"remove":["$sg.x"]}`, KindInvalidChannel, 400},
			{"a position of nothing added", sid, `{"add":["b"],"from":{"a":"k3f9x2.0"}}`, KindInvalidParameter, 400},
			{"a position that is none", sid, `{"add":["b"],"from":{"b":"x"}}`, KindInvalidCursor, 400},
			{"nothing left", sid, `{"remove":["a"]}`, KindInvalidParameter, 400},
		} {
			res, body := p.session(t, "PATCH", c.sid, c.body)
			if res.StatusCode != c.status || !strings.Contains(body, problemType+c.kind+`"`) {
				t.Errorf("%s: %d %s, want %d %s", c.name, res.StatusCode, body, c.status, c.kind)
			}
			decodeShape[any](t, "problem", body)
		}
		if strings.Contains(r.body.String(), `"rev":2`) {
			t.Error("a refused change reached the stream")
		}
	})
}

// TestControlsKeepTheirShape holds every control of the transcripts, and of the
// bytes that wire pins, against its schema.
func TestControlsKeepTheirShape(t *testing.T) {
	shapes := readSchema(t, "testdata/controls.schema.json")
	control := regexp.MustCompile(`(?m)^event: (sg\.[a-z-]+)\ndata: (\{.*\})$`)
	files, _ := filepath.Glob("testdata/*.sse")
	seen := map[string]bool{}
	for _, file := range append(files, "../engine/wire/testdata/controls.sse") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range control.FindAllStringSubmatch(string(text), -1) {
			seen[m[1]] = true
			for _, fault := range shapes.member(m[1]).check(unmarshalAny(t, m[2]), m[1]) {
				t.Errorf("%s: %s", file, fault)
			}
		}
	}
	if len(seen) != len(shapes.Properties) {
		t.Errorf("only %v of %d controls are shown anywhere", seen, len(shapes.Properties))
	}
}

func FuzzPatchBody(f *testing.F) {
	f.Add([]byte(`{"add":["a","b.>"],"remove":["c"],"from":{"a":"k3f9x2.1"},"token":"x"}`))
	f.Add([]byte(`{"add":null,"remove":[""],"from":{"a":null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, _, no := parsePatch(body)
		if no != nil {
			if no.status != http.StatusBadRequest {
				t.Fatal(no)
			}
			return
		}
		for name := range p.From {
			if wire.CheckChannel(name) != nil {
				t.Fatalf("let in: %+v", p)
			}
		}
		if _, err := wire.NewSubSet(append(p.Add, p.Remove...)); err != nil || len(p.Add)+len(p.Remove) == 0 {
			t.Fatalf("let in: %+v", p)
		}
	})
}
