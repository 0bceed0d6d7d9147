package transport

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
	"github.com/streamgateway/streamgateway/gateway/limit"
)

// everyChannel is the right to all of them.
func everyChannel() []wire.Pattern { return patternsOf(">") }

func patternsOf(names ...string) (list []wire.Pattern) {
	for _, name := range names {
		p, err := wire.ParsePattern(name)
		if err != nil {
			panic(err)
		}
		list = append(list, p)
	}
	return list
}

// people authenticates by the header Authorization, which is a name.
type people map[string]auth.Principal

func (p people) Authenticate(r *http.Request) (*auth.Principal, error) {
	who, ok := p[r.Header.Get("Authorization")]
	if !ok {
		return nil, auth.ErrUnauthenticated
	}
	return &who, nil
}

// surface is all routes over one engine, for people.
func (p *pod) surface(readers, publishers Authenticator) http.Handler {
	connections := *p.connections.Load()
	streams := NewStreams(p.engine, readers, p.limits, limit.NewGate(8), nil, "pod-0", connections)
	discard := slog.New(slog.DiscardHandler)
	return Routes{
		Stream: streams, History: NewHistory(p.engine, readers), Sessions: NewSessions(p.engine, readers), Log: discard,
		Publish: NewPublish(publishers, &scriptedLog{}, discard, nil, func(time.Duration, wire.Trace) {}),
	}.Handler()
}

func TestOnlyWhoOpenedAStreamChangesOrClosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		staff := people{
			"ann":       {Subject: "ann", Sub: everyChannel()},
			"bob":       {Subject: "bob", Sub: everyChannel()},
			"other ann": {Subject: "ann", Tenant: "acme", Sub: everyChannel()},
			"":          {Sub: everyChannel()},
		}
		routes := p.surface(staff, staff)
		r, leave := openStream(t, routes, "channels=a", "Authorization", "ann")
		defer leave()
		path := Base + "/sessions/" + r.sid()
		for _, who := range []string{"bob", "other ann", ""} {
			for _, method := range []string{"PATCH", "DELETE"} {
				res, body := ask(t, routes, method, path, `{"add":["b"]}`, "Content-Type", "application/json", "Authorization", who)
				if res.StatusCode != 403 || !strings.Contains(body, KindChannelDenied) || strings.Contains(body, `ann"`) {
					t.Errorf("%s by %q: %d %s", method, who, res.StatusCode, body)
				}
			}
		}
		if res, body := ask(t, routes, "DELETE", path, "", "Authorization", "nobody"); res.StatusCode != 401 {
			t.Errorf("without a credential: %d %s", res.StatusCode, body)
		}
		if res, body := ask(t, routes, "PATCH", path, `{"add":["b"]}`, "Content-Type", "application/json", "Authorization", "ann"); res.StatusCode != 200 {
			t.Errorf("by its owner: %d %s", res.StatusCode, body)
		}
		if res, body := ask(t, routes, "DELETE", path, "", "Authorization", "ann"); res.StatusCode != 204 {
			t.Errorf("by its owner: %d %s", res.StatusCode, body)
		}
	})
}

func TestAPublisherReachesItsChannelsOnlyAndARequestIsRefusedWhole(t *testing.T) {
	p := newPod(t)
	staff := people{"till": {Subject: "till", Pub: patternsOf("orders.*")}}
	log := &scriptedLog{}
	routes := Routes{
		Stream: p, History: NewHistory(p.engine, staff), Sessions: NewSessions(p.engine, staff), Log: slog.New(slog.DiscardHandler),
		Publish: NewPublish(staff, log, slog.New(slog.DiscardHandler), nil, func(time.Duration, wire.Trace) {}),
	}.Handler()
	for name, c := range map[string]struct {
		lines, denied string // denied "" = all may be published
	}{
		"all allowed":     {`{"channel":"orders.1","data":1}` + "\n" + `{"channel":"orders.2","data":1}`, ""},
		"one not allowed": {`{"channel":"orders.1","data":1}` + "\n" + `{"channel":"secrets","data":1}`, `"channels":["secrets"]`},
		"a level deeper":  {`{"channel":"orders.1.x","data":1}`, `"channels":["orders.1.x"]`},
		"in another case": {`{"channel":"Orders.1","data":1}`, `"channels":["Orders.1"]`},
		"twice the same":  {`{"channel":"a","data":1}` + "\n" + `{"channel":"a","data":1}`, `"channels":["a"]`},
	} {
		log.last = nil
		res, body := ask(t, routes, "POST", Base+"/events", c.lines, "Content-Type", "application/x-ndjson", "Authorization", "till")
		if c.denied == "" {
			if res.StatusCode != 200 || len(log.last) != 2 {
				t.Errorf("%s: %d %s", name, res.StatusCode, body)
			}
			continue
		}
		if res.StatusCode != 403 || !strings.Contains(body, KindChannelDenied) || !strings.Contains(body, c.denied) || len(log.last) != 0 {
			t.Errorf("%s: %d %s, appended %v", name, res.StatusCode, body, log.last)
		}
	}
}
