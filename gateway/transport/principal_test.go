package transport

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// Judge takes a token for a name, too.
func (p people) Judge(_ context.Context, token string) (*auth.Principal, error) {
	who, ok := p[token]
	if !ok {
		return nil, auth.ErrUnauthenticated
	}
	return &who, nil
}

// surface is all routes over one engine, for people.
func (p *pod) surface(readers Readers, publishers Authenticator) http.Handler {
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

// tenants are two people who may read everything, each of their own tenant.
func tenants() people {
	staff := people{}
	for _, tenant := range []string{"acme", "evil"} {
		all := everyChannel()[0].In(tenant)
		staff[tenant] = auth.Principal{Subject: "u1", Tenant: tenant, Sub: []wire.Pattern{all}, Pub: []wire.Pattern{all}, Presence: true}
	}
	return staff
}

func TestNoRouteShowsATenantWhatIsAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		routes := p.surface(tenants(), tenants())
		p.publish(wire.Event{Channel: "acme/a.b", Data: []byte(`"secret of acme"`)}, wire.Event{Channel: "a.b", Data: []byte(`"secret of nobody"`)},
			wire.Event{Channel: "evil/a.b", Data: []byte(`"own"`)})
		acme, leave := openStream(t, routes, "channels=a.b", "Authorization", "acme")
		defer leave()
		streams := map[string]string{}
		for _, query := range []string{"channels=a.b&cursor=earliest", "channels=%3E&cursor=earliest", "channels=*.*&cursor=earliest&format=array",
			"channels=a.b&last=10", "channels=a.*&cursor=k3f9x2.0&format=typed"} {
			r, leaveOwn := openStream(t, routes, query, "Authorization", "evil")
			p.publish(wire.Event{Channel: "acme/a.b", Data: []byte(`"secret of acme"`)})
			time.Sleep(time.Second)
			leaveOwn()
			streams[query] = r.transcript()
		}
		for _, path := range []string{"/channels/a.b/events", "/channels/a.b/last?n=9", "/stream?channels=%3E,a.b&cursor=earliest&wait=1"} {
			res, body := ask(t, routes, "GET", Base+path, "", "Authorization", "evil")
			if res.StatusCode != 200 {
				t.Errorf("%s: %d %s", path, res.StatusCode, body)
			}
			streams[path] = body
		}
		for path, text := range streams {
			if strings.Contains(text, "secret") || strings.Contains(text, "acme") || strings.Contains(text, "evil/") || strings.Count(text, `"own"`) != 1 {
				t.Errorf("%s: %s", path, text)
			}
		}
		if _, body := ask(t, routes, "GET", Base+"/channels/a.b/presence", "", "Authorization", "evil"); !strings.Contains(body, `"channel":"a.b","count":0`) {
			t.Error(body)
		}
		if _, body := ask(t, routes, "GET", Base+"/channels/a.b/presence", "", "Authorization", "acme"); !strings.Contains(body, `"count":1`) {
			t.Error(body)
		}
		if text := acme.transcript(); strings.Count(text, "secret of acme") != 5 || strings.Contains(text, "own") {
			t.Error(text)
		}
	})
}

func TestAPatchStaysInTheTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		routes := p.surface(tenants(), tenants())
		p.publish(wire.Event{Channel: "acme/b", Data: []byte(`"secret"`)}, wire.Event{Channel: "evil/b", Data: []byte(`"own"`)})
		r, leave := openStream(t, routes, "channels=a,c", "Authorization", "evil")
		res, body := ask(t, routes, "PATCH", Base+"/sessions/"+r.sid(), `{"add":["b"],"remove":["c"],"from":{"b":"k3f9x2.0"}}`,
			"Content-Type", "application/json", "Authorization", "evil")
		if res.StatusCode != 200 || !strings.Contains(body, `"channels":["a","b"]`) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		time.Sleep(time.Second)
		leave()
		if text := r.transcript(); strings.Contains(text, "secret") || strings.Contains(text, "evil") || !strings.Contains(text, `"own"`) ||
			!strings.Contains(text, `"replayed":1,"channels":["b"]`) {
			t.Error(text)
		}
	})
}

func TestAPositionOpensNoChannelThatIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		staff := people{"ann": {Subject: "ann", Sub: patternsOf("prices.>")}}
		routes := p.surface(staff, staff)
		p.publish(wire.Event{Channel: "secrets", Data: []byte(`"hidden"`)}, wire.Event{Channel: "prices.eur", Data: []byte(`"shown"`)})
		body := `{"channels":["prices.eur","secrets"],"from":{"secrets":"k3f9x2.0","prices.eur":"k3f9x2.0"}}`
		ctx, leave := context.WithCancel(t.Context())
		q := httptest.NewRequestWithContext(ctx, "POST", Base+"/stream", strings.NewReader(body))
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "ann")
		r := &recorder{header: http.Header{}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }() // ErrAbortHandler, when the client leaves first
			routes.ServeHTTP(r, q)
		}()
		time.Sleep(time.Second)
		leave()
		<-done
		if text := r.transcript(); strings.Contains(text, "hidden") || !strings.Contains(text, "shown") || !strings.Contains(text, `"denied":[{"channel":"secrets"`) {
			t.Error(text)
		}
	})
}

func TestPublishersReachTheirOwnTenantOnly(t *testing.T) {
	p := newPod(t)
	log := &scriptedLog{}
	routes := Routes{
		Stream: p, History: NewHistory(p.engine, tenants()), Sessions: NewSessions(p.engine, tenants()), Log: slog.New(slog.DiscardHandler),
		Publish: NewPublish(tenants(), log, slog.New(slog.DiscardHandler), nil, func(time.Duration, wire.Trace) {}),
	}.Handler()
	if res, body := ask(t, routes, "POST", Base+"/channels/a.b/events", "1", "Content-Type", "application/json", "Authorization", "evil"); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	if got := log.last[0].Channel; got != "evil/a.b" {
		t.Errorf("published to %q", got)
	}
	log.last = nil
	for _, channel := range []string{"acme/a.b", "/a.b", "evil/a.b", "..", "a\x00b", "$sg.x"} {
		line, _ := json.Marshal(map[string]any{"channel": channel, "data": 1})
		res, body := ask(t, routes, "POST", Base+"/events", string(line), "Content-Type", "application/x-ndjson", "Authorization", "evil")
		if res.StatusCode < 400 || log.last != nil {
			t.Errorf("%q: %d %s", channel, res.StatusCode, body)
		}
	}
}
