package auth

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/streamgateway/streamgateway/gateway/auth/authtest"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func texts(list []wire.Pattern) (out []string) {
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

func TestATokenSaysWhoComesAndWhatTheyMayDo(t *testing.T) {
	i := newIssuer(t, "rsa", "ec", "ed")
	a := i.given()
	payload, err := json.Marshal(claimsOf(map[string]any{"aud": []string{"elsewhere", "other"}, "sg": map[string]any{
		"tenant": "acme", "sub": []string{"orders.>", "prices.*"}, "pub": []string{"notes"},
		"presence": true, "metrics": true, "flush": true, "limits": map[string]any{"connections": 4},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	for kid, alg := range map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "ec": jose.ES256, "ed": jose.EdDSA} {
		for _, named := range []string{kid, ""} {
			who, err := a.Authenticate(request(sign(t, alg, named, keyPool()[kid], payload)))
			if err != nil {
				t.Fatalf("%s: %v", alg, err)
			}
			if who.Subject != "u7" || who.Tenant != "acme" || !who.Presence || !who.Metrics || !who.Flush || who.Limits.Connections != 4 ||
				fmt.Sprint(texts(who.Sub), texts(who.Pub)) != "[acme/orders.> acme/prices.*] [acme/notes]" {
				t.Errorf("%s: %+v", alg, who)
			}
			if left := time.Until(who.Expires); left < time.Hour+28*time.Second || left > time.Hour+31*time.Second {
				t.Errorf("%s: expires in %s", alg, left)
			}
		}
	}
}

func TestTokensThatAreNotOursAreRefused(t *testing.T) {
	i := newIssuer(t, "rsa", "ec", "ed")
	a := i.given()
	der, err := x509.MarshalPKIXPublicKey((&jose.JSONWebKey{Key: keyPool()["rsa"]}).Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good, err := json.Marshal(claimsOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	unsigned := func(header string) string { return part(header) + "." + part(string(good)) + "." }
	spliced := strings.Split(i.token(nil), ".")
	richer, err := json.Marshal(claimsOf(map[string]any{"sg": []string{">"}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"no signature, alg none":           unsigned(`{"alg":"none"}`),
		"no signature, alg None":           unsigned(`{"alg":"None","kid":"ec"}`),
		"HS256 with the public key as PEM": sign(t, jose.HS256, "rsa", publicPEM, good),
		"HS256 with the public key as DER": sign(t, jose.HS256, "rsa", der, good),
		"HS256 with the key set":           sign(t, jose.HS256, "ec", i.jwks(), good),
		"an algorithm not on the list":     sign(t, jose.PS256, "rsa", keyPool()["rsa"], good),
		"another curve":                    sign(t, jose.ES384, "ec", keyPool()["p384"], good),
		"a key that is not the issuer's":   sign(t, jose.RS256, "rsa", keyPool()["weak"], good),
		"an unknown kid":                   sign(t, jose.ES256, "nobody", keyPool()["ec"], good),
		"a kid of another kind of key":     sign(t, jose.ES256, "rsa", keyPool()["ec"], good),
		"claims under another signature":   spliced[0] + "." + part(string(richer)) + "." + spliced[2],
		"a signature cut off":              spliced[0] + "." + spliced[1] + ".",
		"JSON and not compact":             `{"payload":"` + spliced[1] + `"}`,
		"five parts":                       strings.Join(spliced, ".") + ".x.y",
		"words":                            "not-a-token",
	} {
		if who, err := a.Authenticate(request(token)); !errors.Is(err, ErrUnauthenticated) || who != nil {
			t.Errorf("%s: %+v, %v", name, who, err)
		} else if strings.Contains(err.Error(), token) {
			t.Errorf("%s: the refusal shows the token", name)
		}
	}
}

// TestAHeaderBringsNoKeyOfItsOwn has tokens that are signed well, by keys that
// they bring along.
func TestAHeaderBringsNoKeyOfItsOwn(t *testing.T) {
	asked := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer elsewhere.Close()
	i := newIssuer(t, "ec")
	a := i.given()
	good, err := json.Marshal(claimsOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	own := keyPool()["ed"]
	for name, options := range map[string]*jose.SignerOptions{
		"jwk": {EmbedJWK: true},
		"jku": (&jose.SignerOptions{}).WithHeader("jku", elsewhere.URL).WithHeader("kid", "ec"),
		"x5u": (&jose.SignerOptions{}).WithHeader("x5u", elsewhere.URL),
		"kid": (&jose.SignerOptions{}).WithHeader("kid", elsewhere.URL),
	} {
		token := authtest.Sign(t, jose.SigningKey{Algorithm: jose.EdDSA, Key: own}, options, good)
		if _, err := a.Authenticate(request(token)); !errors.Is(err, ErrUnauthenticated) || asked {
			t.Errorf("%s: %v, asked elsewhere: %t", name, err, asked)
		}
	}
}

func TestClaimsAreHeldToTheRules(t *testing.T) {
	i := newIssuer(t, "ec")
	a := i.given()
	past, soon := time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Minute).Unix()
	for name, c := range map[string]struct {
		change map[string]any
		want   error // nil = taken
	}{
		"as they should be":                  {nil, nil},
		"of another gateway":                 {map[string]any{"aud": "billing"}, ErrUnauthenticated},
		"for nobody":                         {map[string]any{"aud": nil}, ErrUnauthenticated},
		"for an empty name":                  {map[string]any{"aud": ""}, ErrUnauthenticated},
		"for a list of others":               {map[string]any{"aud": []string{"billing", "Prices", "prices "}}, ErrUnauthenticated},
		"for a number":                       {map[string]any{"aud": 7}, ErrUnauthenticated},
		"from another issuer":                {map[string]any{"iss": "https://issuer.example/"}, ErrUnauthenticated},
		"from nobody":                        {map[string]any{"iss": nil}, ErrUnauthenticated},
		"without an end":                     {map[string]any{"exp": nil}, ErrUnauthenticated},
		"with an end in words":               {map[string]any{"exp": "2099-01-01"}, ErrUnauthenticated},
		"with an end out of reach":           {map[string]any{"exp": 1e300}, ErrUnauthenticated},
		"expired":                            {map[string]any{"exp": past}, ErrExpired},
		"expired within the leeway":          {map[string]any{"exp": time.Now().Add(-20 * time.Second).Unix()}, nil},
		"not valid yet":                      {map[string]any{"nbf": soon}, ErrUnauthenticated},
		"valid soon, within the leeway":      {map[string]any{"nbf": time.Now().Add(20 * time.Second).Unix()}, nil},
		"of nobody":                          {map[string]any{"sub": nil}, ErrUnauthenticated},
		"of an empty name":                   {map[string]any{"sub": ""}, ErrUnauthenticated},
		"of a name with a line end":          {map[string]any{"sub": "u7\r\nX: y"}, ErrUnauthenticated},
		"of a name too long":                 {map[string]any{"sub": strings.Repeat("u", 257)}, ErrUnauthenticated},
		"a tenant that is a path":            {map[string]any{"sg": map[string]any{"tenant": "a/b"}}, ErrUnauthenticated},
		"a tenant that is a pattern":         {map[string]any{"sg": map[string]any{"tenant": "*"}}, ErrUnauthenticated},
		"a tenant that is a number":          {map[string]any{"sg": map[string]any{"tenant": 1}}, ErrUnauthenticated},
		"a channel in another script":        {map[string]any{"sg": []string{"оrders.>"}}, ErrUnauthenticated}, // a Cyrillic o
		"a channel of another tenant":        {map[string]any{"sg": []string{"acme/orders.>"}}, ErrUnauthenticated},
		"a channel of the gateway":           {map[string]any{"sg": []string{"$sg.>"}}, ErrUnauthenticated},
		"a pattern that is none":             {map[string]any{"sg": []string{"orders.>.x"}}, ErrUnauthenticated},
		"rights as a word":                   {map[string]any{"sg": "orders.>"}, ErrUnauthenticated},
		"rights as words in an object":       {map[string]any{"sg": map[string]any{"sub": "orders.>"}}, ErrUnauthenticated},
		"a right that is no yes or no":       {map[string]any{"sg": map[string]any{"metrics": "yes"}}, ErrUnauthenticated},
		"fewer than no connections":          {map[string]any{"sg": map[string]any{"limits": map[string]any{"connections": -1}}}, ErrUnauthenticated},
		"more patterns than one can look at": {map[string]any{"sg": make([]string, 257)}, ErrUnauthenticated},
		"no rights at all":                   {map[string]any{"sg": nil}, nil},
	} {
		who, err := a.Authenticate(request(i.token(c.change)))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (who == nil) != (err != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestNamesOfClaimsCountInTheirExactCaseAndOnce(t *testing.T) {
	i := newIssuer(t, "ec")
	a := i.given()
	exp := time.Now().Add(time.Hour).Unix()
	for name, payload := range map[string]string{
		"sub in capitals": `{"iss":"https://issuer.example","aud":"prices","SUB":"admin","exp":%d}`,
		"a name twice":    `{"iss":"https://issuer.example","aud":"prices","sub":"u7","sub":"admin","exp":%d}`,
		"aud in capitals": `{"iss":"https://issuer.example","AUD":"prices","sub":"u7","exp":%d}`,
		"rights twice":    `{"iss":"https://issuer.example","aud":"prices","sub":"u7","exp":%d,"sg":{"sub":["a"],"sub":[">"]}}`,
	} {
		token := sign(t, jose.ES256, "ec", keyPool()["ec"], fmt.Appendf(nil, payload, exp))
		if who, err := a.Authenticate(request(token)); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	who, err := a.Authenticate(request(sign(t, jose.ES256, "ec", keyPool()["ec"],
		fmt.Appendf(nil, `{"iss":"https://issuer.example","aud":"prices","sub":"u7","exp":%d,"SG":[">"],"sg":{"SUB":[">"],"sub":["a"]}}`, exp))))
	if err != nil || fmt.Sprint(texts(who.Sub)) != "[a]" {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestTheClaimOfChannelsMayBeAnywhere(t *testing.T) {
	i := newIssuer(t, "ec")
	for path, claims := range map[string]map[string]any{
		"channels":                 {"channels": []string{"a"}},
		"https://example.com/sg":   {"https://example.com/sg": map[string]any{"sub": []string{"a"}}},
		"app.realtime.channels":    {"app": map[string]any{"realtime": map[string]any{"channels": []string{"a"}}}},
		"app.a.b":                  {"app": map[string]any{"a.b": []string{"a"}}},
		"x.y":                      {"x.y": []string{"a"}, "x": map[string]any{"y": []string{"b"}}},
		"resource_access.gw.rooms": {"resource_access": map[string]any{"gw": map[string]any{"rooms": []string{"a"}}}},
	} {
		rules := rulesFor(JWKS{Keys: string(i.jwks())})
		rules.JWT.ChannelsClaim = path
		claims["sg"] = []string{"wrong"}
		who, err := NewSubscriber(nil, rules).Authenticate(request(i.token(claims)))
		if err != nil || fmt.Sprint(texts(who.Sub)) != "[a]" {
			t.Errorf("%s: %+v, %v", path, who, err)
		}
	}
}

func TestTheFirstCredentialThatIsPresentDecides(t *testing.T) {
	i := newIssuer(t, "ec")
	good := i.token(nil)
	for name, c := range map[string]struct {
		header []string
		query  string
		closed bool // the parameter is not taken
		want   error
	}{
		"the header alone":                    {header: []string{"Bearer " + good}},
		"the parameter alone":                 {query: "access_token=" + good},
		"a bad header before a good one":      {header: []string{"Bearer x"}, query: "access_token=" + good, want: ErrUnauthenticated},
		"another scheme before a good one":    {header: []string{"Basic eDp5"}, query: "access_token=" + good, want: ErrUnauthenticated},
		"a good header before a bad one":      {header: []string{"Bearer " + good}, query: "access_token=x"},
		"two parameters":                      {query: "access_token=" + good + "&access_token=" + good, want: ErrUnauthenticated},
		"an empty parameter":                  {query: "access_token=", want: ErrUnauthenticated},
		"nothing":                             {want: ErrUnauthenticated},
		"the parameter where it is not taken": {query: "access_token=" + good, closed: true, want: ErrUnauthenticated},
	} {
		rules := rulesFor(JWKS{Keys: string(i.jwks())})
		rules.AccessTokenQuery = !c.closed
		r := request("")
		r.URL = &url.URL{RawQuery: c.query}
		if c.header != nil {
			r.Header["Authorization"] = c.header
		}
		if _, err := NewSubscriber(nil, rules).Authenticate(r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestAVerifiedTokenIsRememberedUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{(&jose.JSONWebKey{Key: keyPool()["ec"], KeyID: "ec"}).Public()}}
		text, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		a := NewSubscriber(nil, rulesFor(JWKS{Keys: string(text)}))
		payload, err := json.Marshal(claimsOf(nil))
		if err != nil {
			t.Fatal(err)
		}
		token := sign(t, jose.ES256, "ec", keyPool()["ec"], payload)
		first, err := a.Authenticate(request(token))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour + 29*time.Second)
		if again, err := a.Authenticate(request(token)); err != nil || again != first {
			t.Errorf("judged anew: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := a.Authenticate(request(token)); !errors.Is(err, ErrExpired) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestRememberedTokensAreBounded(t *testing.T) {
	i := newIssuer(t, "ec")
	a := i.given()
	expired := &token{payload: mustJSON(t, claimsOf(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}))}
	lasting := &token{payload: mustJSON(t, claimsOf(nil))}
	for _, one := range []*token{expired, lasting} {
		who, err := a.tokens.rules.Load().judge(one.payload)
		one.judged.Store(&judgement{a.tokens.rules.Load(), who, err})
	}
	for n := range 2*maxTokens + 100 {
		one := expired
		if n >= maxTokens {
			one = lasting
		}
		a.tokens.remember(key{byte(n), byte(n >> 8), byte(n >> 16)}, one)
		if n == maxTokens && len(a.tokens.tokens) != 1 {
			t.Errorf("%d of the expired are kept in the place of the lasting", len(a.tokens.tokens)-1)
		}
	}
	if n := len(a.tokens.tokens); n != maxTokens {
		t.Errorf("%d tokens", n)
	}
}

func TestPublishersWithTokensReachTheChannelsOfTheirClaims(t *testing.T) {
	i := newIssuer(t, "ec")
	a := New(nil, Publishers{Mode: ModeJWT, JWT: rulesFor(JWKS{Keys: string(i.jwks())}).JWT})
	who, err := a.Authenticate(request(i.token(map[string]any{"sg": map[string]any{"tenant": "acme", "pub": []string{"orders.*"}}})))
	if err != nil {
		t.Fatal(err)
	}
	for channel, want := range map[string]bool{
		"acme/orders.1": true, "acme/orders.1.2": false, "orders.1": false, "evil/orders.1": false, "acme/Orders.1": false,
	} {
		if who.MayPublish(channel) != want {
			t.Errorf("%s: %t", channel, !want)
		}
	}
	if _, err := a.Authenticate(request("")); !errors.Is(err, ErrUnauthenticated) {
		t.Error(err)
	}
	if who, err = a.Authenticate(request(i.token(map[string]any{"sg": []string{">"}}))); err != nil || who.MayPublish("orders.1") {
		t.Errorf("a right to read is one to publish: %v", err)
	}
}
