package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestProfilesAreOnTheLoopbackPortAndNowhereElse(t *testing.T) {
	g := start(t, func(o *Options) { o.Local = "127.0.0.1:0" })
	local := "http://" + g.console()
	for path, begins := range map[string]string{
		"":                      "<html>",
		"heap":                  "\x1f\x8b",
		"goroutine?debug=1":     "goroutine profile: total ",
		"profile?seconds=1":     "\x1f\x8b",
		"trace?seconds=0.1":     "go 1.",
		"allocs?debug=0":        "\x1f\x8b",
		"cmdline":               "Unknown profile", // flags may be secrets
		"nothing-of-this-name?": "Unknown profile",
	} {
		_, text := g.fetch(local+profilesPath+path, "")
		if !strings.HasPrefix(text, begins) {
			t.Errorf("%s: %.80q", path, text)
		}
	}
	if status, _ := g.fetch(local+profilesPath+"heap", "cross-site"); status != http.StatusForbidden {
		t.Errorf("a page of another site: %d", status)
	}
	main, _ := g.Addresses()
	for _, base := range []string{g.admin, "http://" + main} {
		if status, _ := g.fetch(base+profilesPath, ""); status != http.StatusNotFound {
			t.Errorf("%s: %d", base, status)
		}
	}
}

// fetch asks as a browser does on behalf of a site, and gives the answer.
func (g *gateway) fetch(address, site string) (status int, text string) {
	g.t.Helper()
	r, err := http.NewRequest("GET", address, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if site != "" {
		r.Header.Set("Sec-Fetch-Site", site)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
