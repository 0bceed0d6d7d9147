package transport

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// question asks a pod about one channel.
func (p *pod) question(t *testing.T, method, path string) (*http.Response, string) {
	t.Helper()
	routes := Routes{Stream: p, Publish: http.NotFoundHandler(), History: NewHistory(p.engine, p.rights), Sessions: NewSessions(p.engine, p.rights), Log: slog.New(slog.DiscardHandler)}
	return ask(t, routes.Handler(), method, Base+"/channels/"+path, "")
}

func TestHistoryIsReadPageByPageWithoutAGap(t *testing.T) {
	p := newPod(t)
	for i := range 7 {
		p.publish(wire.Event{Channel: "a", Data: fmt.Appendf(nil, `"<%d>"`, i), Time: 1}, wire.Event{Channel: "b"})
	}
	cursor, seen := "earliest", []string{}
	for more := true; more; {
		_, body := p.question(t, "GET", "a/events?limit=3&cursor="+cursor)
		page := decodeShape[struct {
			Events              []struct{ Data string }
			Cursor, EvictedUpto string
			Complete, More      bool
		}](t, "history", body)
		if !page.Complete || page.EvictedUpto != testEpoch+".0" || len(page.Events) > 3 {
			t.Fatal(body)
		}
		for _, e := range page.Events {
			seen = append(seen, e.Data)
		}
		cursor, more = page.Cursor, page.More
	}
	if got := strings.Join(seen, ""); got != "<0><1><2><3><4><5><6>" || cursor != testEpoch+".14" {
		t.Errorf("%s up to %s", got, cursor)
	}
}

func TestHistoryAnswersByteForByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, func(tun *engine.Tuning) { tun.Replay.TTL = time.Minute })
		p.publish(wire.Event{Channel: "a", Data: []byte("1")}, wire.Event{Channel: "gone"})
		time.Sleep(2 * time.Minute)
		p.engine.Evict()
		p.publish(wire.Event{Channel: "a", ID: "x", Type: "t", Data: []byte("2")}, wire.Event{Channel: "a", Data: []byte("3")})
		second := `{"seq":3,"time":946684920000,"channel":"a","id":"x","type":"t","data":2}`
		third := `{"seq":4,"time":946684920000,"channel":"a","id":"k3f9x2.4","data":3}`
		for _, c := range []struct{ path, want string }{
			{"a/events", `{"events":[` + second + `,` + third + `],"cursor":"k3f9x2.4","complete":false,"evictedUpto":"k3f9x2.1","more":false}`},
			{"a/events?limit=1", `{"events":[` + second + `],"cursor":"k3f9x2.3","complete":false,"evictedUpto":"k3f9x2.1","more":true}`},
			{"a/events?cursor=k3f9x2.1", `{"events":[` + second + `,` + third + `],"cursor":"k3f9x2.4","complete":true,"evictedUpto":"k3f9x2.1","more":false}`},
			{"a/events?cursor=k3f9x2.4", `{"events":[],"cursor":"k3f9x2.4","complete":true,"evictedUpto":"k3f9x2.1","more":false}`},
			{"a/events?cursor=k3f9x2.9", `{"events":[` + second + `,` + third + `],"cursor":"k3f9x2.4","complete":false,"evictedUpto":"k3f9x2.1","more":false}`},
			{"a/events?cursor=zzzz.4", `{"events":[` + second + `,` + third + `],"cursor":"k3f9x2.4","complete":false,"evictedUpto":"k3f9x2.1","more":false}`},
			{"gone/events", `{"events":[],"cursor":"k3f9x2.4","complete":false,"evictedUpto":"k3f9x2.2","more":false}`},
			{"never/events", `{"events":[],"cursor":"k3f9x2.4","complete":true,"evictedUpto":"k3f9x2.0","more":false}`},
			{"a/last", `{"events":[` + third + `],"cursor":"k3f9x2.4","complete":true,"evictedUpto":"k3f9x2.1","more":false}`},
			{"a/last?n=2", `{"events":[` + second + `,` + third + `],"cursor":"k3f9x2.4","complete":true,"evictedUpto":"k3f9x2.1","more":false}`},
			{"a/last?n=3", `{"events":[` + second + `,` + third + `],"cursor":"k3f9x2.4","complete":false,"evictedUpto":"k3f9x2.1","more":false}`},
		} {
			res, body := p.question(t, "GET", c.path)
			if body != c.want || res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %v\n got %s\nwant %s", c.path, res.StatusCode, res.Header, body, c.want)
			}
			decodeShape[any](t, "history", body)
		}
		if res, _ := p.question(t, "HEAD", "a/events"); res.StatusCode != 200 {
			t.Errorf("HEAD: %d", res.StatusCode)
		}
	})
}

func TestHistoryOfAGatewayWithoutReplayIsGone(t *testing.T) {
	p := newPod(t, func(tun *engine.Tuning) { tun.Replay.Mode = "Disabled" })
	p.publish(wire.Event{Channel: "a"}, wire.Event{Channel: "b"})
	for path, want := range map[string]string{
		"a/events":                 `{"events":[],"cursor":"k3f9x2.2","complete":false,"evictedUpto":"k3f9x2.1","more":false}`,
		"a/events?cursor=k3f9x2.1": `{"events":[],"cursor":"k3f9x2.2","complete":true,"evictedUpto":"k3f9x2.1","more":false}`,
		"a/last":                   `{"events":[],"cursor":"k3f9x2.2","complete":false,"evictedUpto":"k3f9x2.1","more":false}`,
	} {
		if _, body := p.question(t, "GET", path); body != want {
			t.Errorf("%s:\n got %s\nwant %s", path, body, want)
		}
	}
}

func TestBadQuestionsAboutAChannelAreRefused(t *testing.T) {
	p := newPod(t)
	for path, kind := range map[string]string{
		"a.%3E/events":         KindInvalidChannel,
		"a..b/last":            KindInvalidChannel,
		"$sg.canary/events":    KindInvalidChannel,
		"a/events?cursor=now":  KindInvalidCursor,
		"a/events?cursor=17":   KindInvalidCursor,
		"a/events?limit=0":     KindInvalidParameter,
		"a/events?limit=501":   KindInvalidParameter,
		"a/last?n=101":         KindInvalidParameter,
		"a/last?n=x":           KindInvalidParameter,
		"a/events?cursor=%zz1": KindInvalidParameter,
	} {
		if res, body := p.question(t, "GET", path); res.StatusCode != 400 || !strings.Contains(body, problemType+kind+`"`) {
			t.Errorf("%s: %d %s, want %s", path, res.StatusCode, body, kind)
		}
	}
}

func TestPresenceCountsStreamsAndPollsOfAChannelAndItsPatterns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		_, leave := p.get(t, "channels=room.1,a")
		_, leaveToo := p.get(t, "channels=room.*,room.1")
		_, leavePoll := p.get(t, "channels=room.1&wait=25&cursor=earliest")
		for channel, want := range map[string]string{"room.1": "3", "room.2": "1", "b": "0"} {
			_, body := p.question(t, "GET", channel+"/presence")
			if body != `{"channel":"`+channel+`","count":`+want+`,"asOf":946684800000}` {
				t.Errorf("%s: %s, want %s", channel, body, want)
			}
			decodeShape[any](t, "presence", body)
		}
		leave()
		leaveToo()
		leavePoll()
		if _, body := p.question(t, "GET", "room.1/presence"); !strings.Contains(body, `"count":0`) {
			t.Error(body)
		}
	})
}
