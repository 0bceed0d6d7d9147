//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTenTabsOfABrowserOutliveARestartChangeAndKnowWhatTheyMissed has a real
// browser read while pods are replaced under publishing load. With the log in
// the memory of one pod not every event can be had then; each tab has to be told
// where some may be missing, and gets none twice and none out of order.
func TestTenTabsOfABrowserOutliveARestartChangeAndKnowWhatTheyMissed(t *testing.T) {
	const tabs = 10
	ns := cluster.Namespace(t)
	base := cluster.Gateway(t, ns, "prices", "{drain: {preStopDelay: 2s, reconnectSpread: 2s}, rollback: {guardPeriod: 0s, warmPeriod: 0s}}")
	token := cluster.Publisher(t, ns, "prices")
	relay := cluster.relay(t, "prices."+ns+":80")
	browser := cluster.openTabs(t, relay.url+"/v2/realtime", "finance.revenue", tabs)
	p := cluster.numbering(t, base, token)
	time.Sleep(2 * time.Second) // every tab has events of before

	before := cluster.Pods(t, ns, "prices")
	begun := time.Now()
	cluster.Patch(t, ns, "prices", `{"spec":{"gateway":{"template":{"labels":{"example.com/change":"restart"}}}}}`)
	Eventually(t, 60*time.Second, "other pods serve, and those of before are gone", func() error {
		all := cluster.AllPods(t, ns, "prices")
		if len(all) != len(before) || all[0].UID == before[0].UID {
			return errNotYet
		}
		return cluster.ReadyOn(t, ns, "prices")
	})
	replaced := time.Since(begun)
	time.Sleep(time.Second) // and events of after
	last := p.stop()
	reports := browser.until(t, last)
	missing, resets := 0, 0
	for i, tab := range reports {
		m, r, err := tab.judge(last)
		if err != nil {
			t.Errorf("tab %d: %v", i, err)
		}
		missing, resets = missing+m, resets+r
	}
	t.Logf("pods replaced after %.1f s under 50 events/s: %d tabs over %d connections in all; %d events, %d missing in all tabs together and told of by %d resets, 0 twice, 0 untold",
		replaced.Seconds(), tabs, relay.count.Load(), last+1, missing, resets)
	if n := relay.now.Load(); n > 3 {
		t.Errorf("%d tabs have %d connections", tabs, n)
	}
}

// tabReport is what one tab was told, in its order.
type tabReport struct {
	Told    []json.RawMessage // a number of an event, or an object that says why some are missing
	Metrics struct {
		ConnectionState    string
		DuplicatesDetected int
	}
}

// judge fails for what is missing without a word, comes twice, or in another
// order than it was published in. It counts what is missing with a word.
func (r *tabReport) judge(last int64) (missing, notices int, err error) {
	next, told := int64(0), false
	for _, entry := range r.Told {
		var n int64
		if json.Unmarshal(entry, &n) != nil {
			notices, told = notices+1, true
			continue
		}
		switch {
		case n < next:
			return missing, notices, fmt.Errorf("event %d came again, or after %d", n, next-1)
		case n > next && !told:
			return missing, notices, fmt.Errorf("events %d to %d are missing without a word", next, n-1)
		}
		missing, next, told = missing+int(n-next), n+1, false
	}
	if next != last+1 {
		return missing, notices, fmt.Errorf("the newest event is %d and not %d; it is %s", next-1, last, r.Metrics.ConnectionState)
	}
	return missing, notices, nil
}

// tabBrowser is a running browser, see hack/clients/tabs.js.
type tabBrowser struct {
	in  io.Writer
	out *bufio.Scanner
}

func (c *Cluster) openTabs(t *testing.T, url, channel string, count int) *tabBrowser {
	t.Helper()
	clients := filepath.Join(c.root, "hack/clients")
	if out, err := exec.Command(filepath.Join(clients, "install")).CombinedOutput(); err != nil {
		t.Fatalf("installing a browser: %v\n%s", err, out)
	}
	command := exec.CommandContext(t.Context(), "node", "tabs.js", url, channel, fmt.Sprint(count))
	command.Dir, command.Stderr = clients, os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatalf("starting a browser: %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it closes the browser, then ends
		_ = command.Wait()
	})
	b := &tabBrowser{in, bufio.NewScanner(out)}
	b.out.Buffer(nil, 16<<20)
	if !b.out.Scan() {
		t.Fatal("the browser opened no tabs")
	}
	return b
}

// until waits until each tab has the event, or has given up, and returns what
// all were told.
func (b *tabBrowser) until(t *testing.T, last int64) (all []tabReport) {
	t.Helper()
	if _, err := fmt.Fprintln(b.in, last); err != nil {
		t.Fatal(err)
	}
	if !b.out.Scan() {
		t.Fatal("the browser went away")
	}
	if err := json.Unmarshal(b.out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// numbered publishes 0, 1, 2, … one after the other, fifty a second at most,
// and sends each again until it is taken.
type numbered struct {
	next atomic.Int64
	stop func() (last int64)
}

func (c *Cluster) numbering(t *testing.T, base, token string) *numbered {
	t.Helper()
	p := &numbered{}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) { // the rate that is promised above
			n := p.next.Load()
			err := c.sendNumber(base, token, n)
			for ; err != nil && t.Context().Err() == nil; err = c.sendNumber(base, token, n) {
				time.Sleep(50 * time.Millisecond) // a pod that cannot take it now is not asked at full speed
			}
			if err == nil {
				p.next.Add(1)
			}
		}
	})
	p.stop = func() int64 {
		cancel()
		work.Wait()
		return p.next.Load() - 1
	}
	t.Cleanup(cancel)
	return p
}

func (c *Cluster) sendNumber(base, token string, n int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/channels/finance.revenue/events", strings.NewReader(fmt.Sprintf(`{"n":%d}`, n)))
	if err != nil {
		return err
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}, "Idempotency-Key": {fmt.Sprint(n)}}
	res, err := c.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// relay is a port of this machine that leads to one inside of the cluster:
// browsers know this machine's network only.
type relay struct {
	url        string
	count, now atomic.Int64 // connections
}

func (c *Cluster) relay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{url: "http://" + l.Addr().String()}
	dial := c.HTTP.Transport.(*http.Transport).DialContext
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			r.count.Add(1)
			go func() {
				defer client.Close()
				pod, err := dial(t.Context(), "tcp", to)
				if err != nil {
					return
				}
				defer pod.Close()
				r.now.Add(1)
				defer r.now.Add(-1)
				go func() { _, _ = io.Copy(pod, client); _ = pod.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(client, pod) // either side may end it
			}()
		}
	}()
	return r
}
