package transport

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheClientIsServedOnceAndThenToldUnchanged(t *testing.T) {
	const text = "export const createClient = 1; // xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	s, err := NewScript([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", Base+"/client.js", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	plain, packed := ask(), ask("Accept-Encoding", "br, gzip")
	if plain.Body.String() != text || plain.Header().Get("Content-Encoding") != "" {
		t.Errorf("plain: %v %q", plain.Header(), plain.Body)
	}
	unzipped, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(unzipped); string(got) != text || err != nil {
		t.Errorf("gzip: %q, %v", got, err)
	}
	h := plain.Header()
	if h.Get("Content-Type") != "text/javascript; charset=utf-8" || h.Get("Cache-Control") != "public, max-age=300" || !strings.Contains(h.Get("Vary"), "Accept-Encoding") {
		t.Errorf("headers %v", h)
	}
	one, other := h.Get("ETag"), packed.Header().Get("ETag")
	if one == "" || one == other {
		t.Errorf("two bodies have the tags %s and %s", one, other)
	}
	for _, again := range []*httptest.ResponseRecorder{ask("If-None-Match", one), ask("If-None-Match", other, "Accept-Encoding", "gzip")} {
		if again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("asked again: %d, %d bytes", again.Code, again.Body.Len())
		}
	}
	if changed := ask("If-None-Match", `"another"`); changed.Code != http.StatusOK {
		t.Errorf("another version: %d", changed.Code)
	}
}
