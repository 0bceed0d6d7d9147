package transport

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// everybody may read everything.
func everybody() *auth.Subscriber {
	return auth.NewSubscriber(nil, auth.Subscribers{Mode: auth.ModeAnonymous})
}

// open gives everybody these channels alone, as the server does it.
func (p *pod) open(channels ...string) {
	p.rights.Tune(auth.Subscribers{Mode: auth.ModeAnonymous, AnonymousChannels: channels})
	p.engine.Judge()
}

func TestAStreamGetsWhatItMayReadAndIsToldTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		p.open("prices.>")
		r, leave := p.get(t, "channels=prices.eur,secrets.>,prices.*,*", "Accept", "text/event-stream")
		p.publish(wire.Event{Channel: "secrets.a", Data: []byte(`"hidden"`)}, wire.Event{Channel: "prices.eur", Data: []byte(`"shown"`)})
		time.Sleep(time.Second)
		leave()
		for _, want := range []string{`"channels":["prices.eur","prices.*"]`,
			`"denied":[{"channel":"*","reason":"not-allowed"},{"channel":"secrets.>","reason":"not-allowed"}]`, "shown"} {
			if !strings.Contains(r.transcript(), want) {
				t.Errorf("no %s in %s", want, r.transcript())
			}
		}
		if strings.Contains(r.transcript(), "hidden") {
			t.Error(r.transcript())
		}
	})
}

func TestNoRouteReadsAChannelThatIsNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		p.publish(wire.Event{Channel: "secrets.a", Data: []byte(`"hidden"`)})
		p.open("prices.>")
		denied := func(route string, res *http.Response, body string) {
			t.Helper()
			var problem struct{ Channels []string }
			if err := json.Unmarshal([]byte(body), &problem); err != nil {
				t.Fatal(route, err, body)
			}
			if res.StatusCode != 403 || !strings.Contains(body, KindChannelDenied) || len(problem.Channels) != 1 || strings.Contains(body, "hidden") {
				t.Errorf("%s: %d %s", route, res.StatusCode, body)
			}
		}
		for _, route := range []string{"secrets.a/events", "secrets.a/last", "secrets.a/presence"} {
			res, body := p.question(t, "GET", route)
			denied(route, res, body)
		}
		for _, query := range []string{"channels=secrets.a", "channels=secrets.a&wait=1", "channels=prices.eur,secrets.a&wait=1", "channels=*&last=5"} {
			res, body := ask(t, p.Streams, "GET", Base+"/stream?"+query, "")
			denied(query, res, body)
		}
		r, leave := p.get(t, "channels=prices.eur")
		defer leave()
		res, body := p.session(t, "PATCH", r.sid(), `{"add":["secrets.a"],"remove":["prices.eur"]}`)
		denied("PATCH", res, body)
		res, body = p.session(t, "PATCH", r.sid(), `{"add":["secrets.a","prices.usd"],"from":{"secrets.a":"k3f9x2.0"}}`)
		if res.StatusCode != 200 || !strings.Contains(body, `"channels":["prices.eur","prices.usd"],"denied":[{"channel":"secrets.a","reason":"not-allowed"}]`) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
	})
}

func TestStreamsEndWhenTheirRightIsTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		p.open("prices.>", "news.>")
		losing, leaveFirst := p.get(t, "channels=prices.eur,news.a")
		keeping, leaveSecond := p.get(t, "channels=prices.eur")
		p.open("prices.>")
		p.publish(wire.Event{Channel: "news.a", Data: []byte(`"hidden"`)}, wire.Event{Channel: "prices.eur", Data: []byte(`"shown"`)})
		time.Sleep(time.Second)
		leaveFirst()
		leaveSecond()
		if text := losing.transcript(); !strings.Contains(text, `{"reason":"auth-revoked","status":403,"retryMs":`) || strings.Contains(text, "hidden") {
			t.Error(text)
		}
		if text := keeping.transcript(); strings.Contains(text, "auth-revoked") || !strings.Contains(text, "shown") {
			t.Error(text)
		}
	})
}

// overtaken lets the rules change right after it has judged a request.
type overtaken struct {
	*auth.Subscriber
	change func()
}

func (o overtaken) Authenticate(r *http.Request) (*auth.Principal, error) {
	defer o.change()
	return o.Subscriber.Authenticate(r)
}

func TestAStreamJudgedBeforeAChangeEndsAtItsFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		readers := overtaken{p.rights, func() { p.open("prices.>") }}
		r, leave := openStream(t, p.surface(readers, people{}), "channels=secrets.a")
		p.publish(wire.Event{Channel: "secrets.a", Data: []byte(`"hidden"`)})
		time.Sleep(time.Second)
		leave()
		if text := r.transcript(); !strings.Contains(text, "auth-revoked") || strings.Contains(text, "hidden") {
			t.Error(text)
		}
	})
}
