package transport

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestPresenceTellsWhatItMayToWhoMayAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t)
		all := everyChannel()
		evil := []wire.Pattern{all[0].In("evil")}
		staff := people{
			"":     {Sub: all, Presence: true},
			"ann":  {Subject: "ann", Sub: all, Presence: true},
			"bob":  {Subject: "bob", Sub: all},
			"cat":  {Subject: "cat", Sub: patternsOf("elsewhere"), Presence: true},
			"evil": {Subject: "eve", Tenant: "evil", Sub: evil, Presence: true},
		}
		history := NewHistory(p.engine, staff)
		routes := Routes{Doors: NewDoors(Listener{}), Stream: p, Publish: http.NotFoundHandler(), History: history, Sessions: NewSessions(p.engine, staff), Log: slog.New(slog.DiscardHandler)}.Handler()
		surface := p.surface(staff, staff)
		began := time.Now().UnixMilli()
		for _, one := range []struct{ who, channels string }{{"bob", "room.1"}, {"ann", "room.*"}, {"bob", "room.1,other"}, {"", "room.1"}, {"evil", "room.1"}, {"ann", "other"}} {
			_, leave := openStream(t, surface, "channels="+one.channels, "Authorization", one.who)
			defer leave()
			time.Sleep(time.Second)
		}
		members := `,"members":[{"sub":"ann","tabs":1,"since":` + itoa(began+1000) + `},{"sub":"bob","tabs":2,"since":` + itoa(began) + `}],"more":false}`
		const count = `{"channel":"room.1","count":4,"asOf":`
		for _, c := range []struct {
			tells, who     string
			status         int
			begins, ending string
		}{
			{PresenceDisabled, "ann", 404, `{"type":"` + problemType + KindNotFound, ""},
			{PresenceCount, "ann", 200, count, "}"},
			{PresenceCount, "", 200, count, "}"},
			{PresenceCount, "bob", 403, `{"type":"` + problemType + KindChannelDenied, ""},
			{PresenceMembers, "ann", 200, count, members},
			{PresenceMembers, "", 200, count, "}"},
			{PresenceMembers, "bob", 403, `{"type":"` + problemType + KindChannelDenied, ""},
			{PresenceMembers, "cat", 403, `{"type":"` + problemType + KindChannelDenied, ""},
			{PresenceMembers, "evil", 200, `{"channel":"room.1","count":1,"asOf":`, `,"members":[{"sub":"eve","tabs":1,"since":` + itoa(began+4000) + `}],"more":false}`},
		} {
			history.Tune(c.tells)
			res, body := ask(t, routes, "GET", Base+"/channels/room.1/presence", "", "Authorization", c.who)
			if res.StatusCode != c.status || !strings.HasPrefix(body, c.begins) || !strings.HasSuffix(body, c.ending) || c.ending == "}" && strings.Contains(body, "members") {
				t.Errorf("%s to %q: %d %s, want %d %s … %s", c.tells, c.who, res.StatusCode, body, c.status, c.begins, c.ending)
			}
			if c.status == 200 {
				decodeShape[any](t, "presence", body)
			}
		}
	})
}

func TestMetricsNeedTheirOwnRight(t *testing.T) {
	p := newPod(t)
	staff := people{"ann": {Subject: "ann", Metrics: true}, "bob": {Subject: "bob", Sub: everyChannel(), Pub: everyChannel(), Presence: true, Flush: true}}
	routes := Routes{Doors: NewDoors(Listener{}), Stream: p, Publish: http.NotFoundHandler(), History: NewHistory(p.engine, staff), Sessions: NewSessions(p.engine, staff), Log: slog.New(slog.DiscardHandler),
		Metrics: func() Metrics { return Metrics{} }, MetricsAccess: staff}.Handler()
	for who, want := range map[string]int{"ann": 200, "bob": 403, "": 401} {
		if res, body := ask(t, routes, "GET", Base+"/metrics", "", "Authorization", who); res.StatusCode != want {
			t.Errorf("%q: %d %s", who, res.StatusCode, body)
		}
	}
}
