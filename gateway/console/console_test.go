package console

import (
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string, data func() Data) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(data).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

func empty() Data { return Data{} }

// The policy forbids it, too; here the reason would be a blank page.
func TestThePageHasAllItNeedsAndLoadsNothingForeign(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)(src|href|url\()\s*=?\s*["']?(https?:)?//|<script>|<style|\son[a-z]+=|style="|import .*from "[^.]`)
	named := regexp.MustCompile(`(?:src|href)="([a-z.]+)"`)
	page := get(t, "/", empty).Body.String()
	files := []string{"/"}
	for _, m := range named.FindAllStringSubmatch(page, -1) {
		files = append(files, "/"+m[1])
	}
	if len(files) != 3 {
		t.Fatalf("the page names %q", files)
	}
	for _, path := range files {
		w := get(t, path, empty)
		if w.Code != 200 || w.Body.Len() < 500 {
			t.Errorf("%s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
		if found := foreign.Find(w.Body.Bytes()); found != nil {
			t.Errorf("%s has %q", path, found)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s has the policy %q", path, csp)
		}
	}
	// Every element that the script fills is on the page.
	script := get(t, "/console.js", empty).Body.String()
	for _, m := range regexp.MustCompile(`\$\("([a-z-]+)"\)|(?:pairs|rows|plot)\("([a-z-]+)"`).FindAllStringSubmatch(script, -1) {
		if id := m[1] + m[2]; !strings.Contains(page, `id="`+id+`"`) {
			t.Errorf("the page has no element %q", id)
		}
	}
}

func TestHostileNamesStayDataInTheJSON(t *testing.T) {
	const name = "</script>\"\u2028"
	w := get(t, DataPath, func() Data { return Data{Channels: []Channel{{Name: name}}} })
	var d Data
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || d.Channels[0].Name != name || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v, %+v", err, d)
	}
	if strings.Contains(w.Body.String(), "</script>") {
		t.Error("markup is not escaped")
	}
}
