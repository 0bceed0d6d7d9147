package auth

import (
	"net/http"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestEverybodyReadsWhatIsListedAndNothingElse(t *testing.T) {
	a := NewSubscriber(nil, Subscribers{Mode: ModeAnonymous, AnonymousChannels: []string{"prices.*", "news.>", "status"}})
	for ask, want := range map[string]bool{
		"prices.eur":      true,
		"prices.*":        true,
		"prices.>":        false, // more than one segment
		"prices":          false,
		"prices.eur.spot": false,
		"Prices.eur":      false,
		"news.a.b":        true,
		"news.*.b":        true,
		"news":            false,
		"status":          true,
		"status.x":        false,
		"*":               false,
		">":               false,
		"*.eur":           false,
		"secrets":         false,
	} {
		who, err := a.Authenticate(&http.Request{})
		p, bad := wire.ParsePattern(ask)
		subs, worse := wire.NewSubSet([]string{ask})
		if err != nil || bad != nil || worse != nil {
			t.Fatal(err, bad, worse)
		}
		if got := who.MayRead(p); got != want {
			t.Errorf("%q: %v", ask, got)
		}
		if got := everybody(a).StillMayRead(subs); got != want {
			t.Errorf("set of %q: %v", ask, got)
		}
	}
}

func TestOnlyAnAbsentListOpensEverything(t *testing.T) {
	secret, err := wire.NewSubSet([]string{"secrets", "a.>"})
	if err != nil {
		t.Fatal(err)
	}
	a := NewSubscriber(nil, Subscribers{Mode: ModeAnonymous})
	if !everybody(a).StillMayRead(secret) {
		t.Error("closed without a list")
	}
	for _, list := range [][]string{{"not a pattern"}, {"a.>"}, {"secrets"}, {"$sg.>"}} {
		if a.Tune(Subscribers{Mode: ModeAnonymous, AnonymousChannels: list}); everybody(a).StillMayRead(secret) {
			t.Errorf("%q opens %v", list, secret.All())
		}
	}
	if a.Tune(Subscribers{Mode: ModeAnonymous, AnonymousChannels: []string{"a.>", "secrets"}}); !everybody(a).StillMayRead(secret) {
		t.Error("a set is judged as if one pattern had to cover all of it")
	}
}

func everybody(a *Subscriber) *Principal {
	who, err := a.Authenticate(&http.Request{})
	if err != nil {
		panic(err)
	}
	return who
}
