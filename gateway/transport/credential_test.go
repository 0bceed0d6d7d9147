package transport

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/auth"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// booth gives out principals by token, and takes the right of an account away.
type booth struct {
	mu      sync.Mutex
	allowed map[string]bool
	rights  *auth.Subscriber
}

// newBooth is a Subscriber of mode Kubernetes over a booth that plays the API
// server: every token "NAME.EXPIRY.X" is the account NAME's.
func newBooth() *booth {
	b := &booth{allowed: map[string]bool{}}
	b.rights = auth.NewSubscriber(b, auth.Subscribers{Mode: auth.ModeKubernetes, Audiences: []string{"streamgateway.io"}, CacheTTL: 10 * time.Second})
	return b
}

func (b *booth) Review(_ context.Context, token string, _ []string, _ string) (auth.Review, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name, _, _ := strings.Cut(token, ".")
	allowed, known := b.allowed[name]
	return auth.Review{Subject: name, Authenticated: known, Allowed: allowed}, nil
}

func (b *booth) set(name string, allowed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed[name] = allowed
}

// tokenOf expires after a while.
func (b *booth) token(t *testing.T, name string, lasts time.Duration) string {
	t.Helper()
	return name + "." + payloadOf(t, map[string]any{"exp": time.Now().Add(lasts).Unix()}) + ".x"
}

func TestAStreamIsToldOfTheEndOfItsTokenAndEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newPod(t), newBooth()
		b.set("ann", true)
		routes := p.surface(b.rights, people{})
		r, leave := openStream(t, routes, "channels=a", "Authorization", "Bearer "+b.token(t, "ann", 10*time.Minute))
		defer leave()
		ends := time.Now().Add(10 * time.Minute).UnixMilli()
		time.Sleep(9*time.Minute - time.Millisecond)
		if strings.Contains(r.transcript(), "sg.auth") {
			t.Error("told too early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if want := "event: sg.auth\ndata: " + string(wire.AppendPayload(nil, wire.Auth{ExpiresAt: ends, Renew: "session"})) + "\n\n"; strings.Count(r.transcript(), want) != 1 {
			t.Errorf("no %s in %s", want, r.transcript())
		}
		time.Sleep(time.Minute - time.Millisecond)
		synctest.Wait()
		if strings.Contains(r.transcript(), "sg.end") {
			t.Error("ended too early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		p.publish(wire.Event{Channel: "a", Data: []byte(`"hidden"`)})
		time.Sleep(time.Minute)
		text := r.transcript()
		if !strings.Contains(text, `{"reason":"auth-expired","status":401,"retryMs":`) || strings.Contains(text, "hidden") || strings.Count(text, "sg.auth") != 1 {
			t.Error(text)
		}
	})
}

func TestAStreamIsRenewedWithoutAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newPod(t), newBooth()
		b.set("ann", true)
		b.set("bob", true)
		routes := p.surface(b.rights, people{})
		r, leave := openStream(t, routes, "channels=a", "Authorization", "Bearer "+b.token(t, "ann", 5*time.Minute))
		defer leave()
		path := Base + "/sessions/" + r.sid()
		renew := func(token string) (*http.Response, string) {
			return ask(t, routes, "PATCH", path, `{"token":"`+token+`"}`, "Content-Type", "application/json")
		}
		time.Sleep(4*time.Minute + time.Second)
		for name, c := range map[string]struct {
			token string
			want  int
		}{
			"somebody else's":        {b.token(t, "bob", time.Hour), 403},
			"one that is not known":  {b.token(t, "eve", time.Hour), 401},
			"one that has expired":   {b.token(t, "ann", -time.Hour), 401},
			"something that is none": {"nonsense", 401},
		} {
			if res, body := renew(c.token); res.StatusCode != c.want || strings.Contains(body, c.token) {
				t.Errorf("%s: %d %s", name, res.StatusCode, body)
			}
		}
		later := time.Now().Add(time.Hour)
		res, body := renew(b.token(t, "ann", time.Hour))
		want := `{"sid":"` + r.sid() + `","rev":1,"channels":["a"],"denied":[],"effective":"k3f9x2.0","expiresAt":` + itoa(later.Truncate(time.Second).UnixMilli()) + `}`
		if res.StatusCode != 200 || body != want {
			t.Errorf("%d %s, want %s", res.StatusCode, body, want)
		}
		decodeShape[any](t, "session", body)
		time.Sleep(58 * time.Minute)
		if text := r.transcript(); strings.Contains(text, "sg.end") || strings.Count(text, "sg.auth") != 1 {
			t.Errorf("ended, or told again too early: %s", text)
		}
		time.Sleep(time.Minute + time.Millisecond)
		if text := r.transcript(); strings.Contains(text, "sg.end") || strings.Count(text, "sg.auth") != 2 {
			t.Errorf("ended, or not told again: %s", text)
		}
		time.Sleep(time.Minute)
		if text := r.transcript(); !strings.Contains(text, "auth-expired") {
			t.Error(text)
		}
	})
}

func TestAStreamEndsWithinAMinuteOrTwoOfItsAccountsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newPod(t), newBooth()
		b.rights.Changed(p.engine.Judge)
		b.set("ann", true)
		b.set("bob", true)
		routes := p.surface(b.rights, people{})
		streams := map[string]*recorder{}
		for _, name := range []string{"ann", "bob"} {
			r, leave := openStream(t, routes, "channels=a", "Authorization", "Bearer "+b.token(t, name, 3*time.Hour))
			defer leave()
			streams[name] = r
		}
		time.Sleep(10 * time.Minute)
		b.set("ann", false)
		time.Sleep(2 * time.Minute)
		if text := streams["ann"].transcript(); !strings.Contains(text, `{"reason":"auth-revoked","status":403`) {
			t.Error(text)
		}
		if text := streams["bob"].transcript(); strings.Contains(text, "sg.end") {
			t.Error(text)
		}
	})
}

func TestASessionIdIsLookedUpAndNeverDialed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing in a bubble can reach a network unseen: it would deadlock
		p := newPod(t)
		for _, sid := range []string{"127.0.0.1:22.AAAAAAAAAAAAAAAAAAAAAA", "evil.example.AAAAAAAAAAAAAAAAAAAAAA", "http:%2F%2F169.254.169.254%2Flatest", "..%2F..%2Fmetrics", strings.Repeat("a", 8000)} {
			for _, method := range []string{"PATCH", "DELETE"} {
				res, body := p.session(t, method, sid, `{"add":["b"]}`)
				if res.StatusCode != 404 || !strings.Contains(body, KindSessionGone) {
					t.Errorf("%s %.40s: %d %s", method, sid, res.StatusCode, body)
				}
			}
		}
	})
}

func payloadOf(t *testing.T, claims map[string]any) string {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
