package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func jsonOf(v any) ([]byte, error) { return json.Marshal(v) }

func TestAStreamsRightsFollowTheRulesOfNow(t *testing.T) {
	i := newIssuer(t, "ec")
	rules := rulesFor(JWKS{Keys: string(i.jwks())})
	for name, c := range map[string]struct {
		change func(*Subscribers)
		want   bool
	}{
		"as they were":                    {func(*Subscribers) {}, true},
		"with more leeway":                {func(s *Subscribers) { s.JWT.ClockSkew = time.Minute }, true},
		"with a token in the query":       {func(s *Subscribers) { s.AccessTokenQuery = true }, true},
		"for another audience":            {func(s *Subscribers) { s.JWT.Audiences = []string{"billing"} }, false},
		"of another issuer":               {func(s *Subscribers) { s.JWT.Issuer = "https://elsewhere.example" }, false},
		"by another claim":                {func(s *Subscribers) { s.JWT.ChannelsClaim = "other" }, false},
		"with everything open":            {func(s *Subscribers) { s.Mode = ModeAnonymous }, true},
		"with something else open":        {func(s *Subscribers) { s.Mode, s.AnonymousChannels = ModeAnonymous, []string{"prices.>"} }, false},
		"with tokens of the API server":   {func(s *Subscribers) { s.Mode = ModeKubernetes }, false},
		"with a key set that is no such":  {func(s *Subscribers) { s.JWT.JWKS.Keys = "{" }, true}, // the keys of before stay
		"with a key set of another party": {func(s *Subscribers) { s.JWT.JWKS.Keys = string(newIssuer(t, "ed").jwks()) }, false},
	} {
		a := NewSubscriber(nil, rules)
		who, err := a.Authenticate(request(i.token(nil)))
		if err != nil {
			t.Fatal(err)
		}
		if !who.StillMayRead(set(t, "orders.*", "orders.7.x")) || who.StillMayRead(set(t, "orders.7", "prices")) {
			t.Errorf("%s: wrong from the beginning", name)
		}
		changed := rules
		c.change(&changed)
		a.Tune(changed)
		if got := who.StillMayRead(set(t, "orders.*")); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// serviceToken looks like that of a service account, which the reviewer judges.
func serviceToken(expires time.Time) string {
	payload := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, expires.Unix()))
	return "head." + payload + ".sign"
}

var inCluster = Subscribers{Mode: ModeKubernetes, Audiences: []string{"streamgateway.io"}, CacheTTL: 10 * time.Second}

func TestAServiceAccountReadsUntilItsTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rv, expires := newReviewer(), time.Now().Add(time.Hour)
		token := serviceToken(expires)
		rv.answers[token] = Review{Subject: "system:serviceaccount:shop:board", Authenticated: true, Allowed: true}
		a := NewSubscriber(rv, inCluster)
		who, err := a.Authenticate(request(token))
		if err != nil || who.Subject != "system:serviceaccount:shop:board" || who.Tenant != "" || !who.Expires.Equal(expires) || len(who.Pub) != 0 {
			t.Fatalf("%+v, %v", who, err)
		}
		if right := *rv.right.Load(); right != RightSubscribe {
			t.Errorf("asked about the right to %s", right)
		}
		rv.down.Store(true)
		time.Sleep(time.Until(expires) - time.Minute)
		rv.down.Store(false)
		_, _ = a.Authenticate(request(token))
		rv.down.Store(true)
		time.Sleep(2 * time.Minute)
		if _, err := a.Authenticate(request(token)); !errors.Is(err, ErrExpired) {
			t.Errorf("a review outlives its token while the reviewer is away: %v", err)
		}
	})
}

func TestAnAccountThatLosesItsRightLosesItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rv := newReviewer()
		a := NewSubscriber(rv, inCluster)
		told := 0
		a.Changed(func() { told++ })
		who, err := a.Authenticate(request("good"))
		if err != nil {
			t.Fatal(err)
		}
		look := func() bool {
			now := who.StillMayRead(set(t, ">"))
			synctest.Wait()
			return now
		}
		time.Sleep(time.Minute)
		if !look() || told != 0 {
			t.Error("ended for no reason")
		}
		rv.answers["good"] = Review{Subject: "system:serviceaccount:shop:till", Authenticated: true}
		time.Sleep(time.Minute)
		if !look() || told != 1 || look() {
			t.Errorf("goes on without the right; told %d times", told)
		}
	})
}

func TestAnAPIServerThatIsAwayEndsNoStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rv := newReviewer()
		a := NewSubscriber(rv, inCluster)
		who, err := a.Authenticate(request("good"))
		if err != nil {
			t.Fatal(err)
		}
		rv.down.Store(true)
		for range 20 {
			time.Sleep(time.Minute)
			if !who.StillMayRead(set(t, ">")) {
				t.Fatal("ended")
			}
			synctest.Wait()
		}
		if _, err := a.Authenticate(request("good")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a new stream after 20 minutes: %v", err)
		}
	})
}
