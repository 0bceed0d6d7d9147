//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// TestPostedRevenueArrivesInWellUnderATenthOfASecond goes the whole way: the
// demo application stores a revenue, its relay publishes with its own service
// account, the event comes out of a stream that the demo passes through.
func TestPostedRevenueArrivesInWellUnderATenthOfASecond(t *testing.T) {
	const posts, token = 200, "e2e-token"
	ns := cluster.Namespace(t)
	cluster.Gateway(t, ns, "prices", "{}")
	cluster.Kubectl(t, "", "create", "secret", "generic", "finance-demo", "-n", ns, "--from-literal=token="+token)
	cluster.Apply(t, ns, cluster.File(t, "hack/demo/deploy/demo.yaml"))
	cluster.Kubectl(t, "", "rollout", "status", "-n", ns, "deploy/finance-demo", "--timeout=60s")

	demo := fmt.Sprintf("http://finance-demo.%s:80", ns)
	cluster.Answers(t, demo+"/healthz")
	if status, _ := postRevenue(t, demo, "wrong-"+token); status != http.StatusUnauthorized {
		t.Errorf("a wrong token was answered with %d", status)
	}
	stream, err := noloss.Open(t.Context(), cluster.HTTP, noloss.StreamURL(demo, []string{"finance.revenue"}, "plain"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	next(t, stream, func(m noloss.Message) bool { return m.Event == "sg.caught-up" })

	var took []time.Duration
	pause := rand.New(rand.NewPCG(1, 2)) // posts fall into and outside of the batch window of 50 ms
	for range posts {
		begun := time.Now()
		status, id := postRevenue(t, demo, token)
		if status != http.StatusCreated {
			t.Fatalf("posting a revenue: %d", status)
		}
		m := next(t, stream, func(m noloss.Message) bool { return strings.Contains(m.Data, id) })
		took = append(took, m.At.Sub(begun))
		time.Sleep(time.Duration(pause.IntN(100)) * time.Millisecond)
	}
	l := noloss.Summarize(took[1:]) // the first one also pays for connections and token review
	t.Logf("revenue POST to event, %s", l)
	if l.P95 >= 100 {
		t.Errorf("p95 is %.1f ms, want less than 100", l.P95)
	}
}

func postRevenue(t *testing.T, demo, token string) (status int, id string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, demo+"/finance/revenue", strings.NewReader(`{"amount":10000,"propertyId":1}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := cluster.HTTP.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("reading the answer of a post: %v", err)
	}
	return response.StatusCode, answer.ID
}

// next reads until a message is the wanted one, for 10 s at most.
func next(t *testing.T, stream *noloss.Stream, wanted func(noloss.Message) bool) noloss.Message {
	t.Helper()
	late := time.AfterFunc(10*time.Second, stream.Close)
	defer late.Stop()
	for {
		m, err := stream.Next()
		if err != nil {
			t.Fatalf("reading stream: %v", err)
		}
		if wanted(m) {
			return m
		}
	}
}
