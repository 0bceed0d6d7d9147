package main

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestEveryPeerDeliversWhatIsPublished keeps the comparison honest: a peer
// that delivers nothing would be cheap.
func TestEveryPeerDeliversWhatIsPublished(t *testing.T) {
	connect := "?cf_connect=" + url.QueryEscape(`{"id":1,"connect":{"data":{"channels":["a","b"]}}}`)
	for name, query := range map[string]string{"textbook": "?channels=a,b", "go-sse": "?channels=a,b", "centrifuge": connect} {
		t.Run(name, func(t *testing.T) {
			handler, err := server(name, 0)
			if err != nil {
				t.Fatal(err)
			}
			s := httptest.NewServer(handler)
			defer s.Close()
			defer s.CloseClientConnections()
			stream, err := http.Get(s.URL + "/stream" + query)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Body.Close()
			found := make(chan string, 1)
			go func() {
				for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
					if strings.Contains(lines.Text(), `{"x":42}`) {
						found <- lines.Text()
						return
					}
				}
			}()
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
				// The stream may be answered before it is subscribed: publish until it is.
				ack, err := http.Post(s.URL+"/publish?channel=b", "application/json", strings.NewReader(`{"x":42}`))
				if err != nil || ack.StatusCode != http.StatusOK {
					t.Fatal(ack, err)
				}
				ack.Body.Close()
				select {
				case line := <-found:
					if !strings.HasPrefix(line, "data: ") {
						t.Errorf("%q is no line of server-sent events", line)
					}
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
			t.Error("nothing arrived")
		})
	}
}
