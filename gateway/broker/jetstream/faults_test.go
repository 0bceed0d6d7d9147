package jetstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// watched is a log with publishers that repeat until they have an ack, and with
// all that its tail has seen.
type watched struct {
	t   *testing.T
	log *Log

	mu    sync.Mutex
	seen  []wire.Record
	acked map[string]uint64 // seq by id
	ended chan error
	stop  context.CancelFunc
}

// watch begins to gather what a log has from now on.
func watch(t *testing.T, l *Log) *watched {
	t.Helper()
	info, err := l.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, log: l, acked: map[string]uint64{}, ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() {
		w.ended <- l.Tail(ctx, info.Tail, func(records []wire.Record) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen = append(w.seen, records...)
			return nil
		})
	}()
	t.Cleanup(stop)
	return w
}

// publish writes requests of one to five events, one after the other, until
// until is closed.
func (w *watched) publish(name string, until <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-until:
			return
		default:
		}
		var events []wire.Event
		for i := range 1 + n%5 {
			events = append(events, wire.Event{Channel: name, Source: "/s", ID: fmt.Sprintf("%s-%06d-%d", name, n, i), Data: []byte("1")})
		}
		for deadline := time.Now().Add(natstest.Patience); ; time.Sleep(5 * time.Millisecond) {
			results, err := w.log.Append(context.Background(), events, broker.AppendOptions{})
			w.mu.Lock()
			for i, r := range results {
				id := events[i].ID
				if first, known := w.acked[id]; known && first != r.Seq {
					w.t.Errorf("%s was acknowledged at %d and at %d", id, first, r.Seq)
				}
				w.acked[id] = r.Seq
			}
			w.mu.Unlock()
			if err == nil {
				break
			}
			if !errors.Is(err, broker.ErrUnavailable) || time.Now().After(deadline) {
				w.t.Errorf("publishing: %v", err)
				return
			}
		}
	}
}

// during publishes by several at once while something happens.
func (w *watched) during(publishers int, happens func()) {
	w.t.Helper()
	until := make(chan struct{})
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() { w.publish(fmt.Sprint("p", p), until) })
	}
	happens()
	close(until)
	wg.Wait()
}

// settle waits until the tail has seen the newest acknowledged event.
func (w *watched) settle() []wire.Record {
	w.t.Helper()
	newest := uint64(0)
	for _, seq := range w.acked {
		newest = max(newest, seq)
	}
	natstest.Eventually(w.t, "the tail sees what is acknowledged", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.seen) > 0 && w.seen[len(w.seen)-1].Seq >= newest
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// account counts every event: each acknowledged one is in the tail once, at its
// place, and each publisher's are in order.
func (w *watched) account() {
	w.t.Helper()
	seen := w.settle()
	at, last := map[string]uint64{}, map[string]string{}
	for i, r := range seen {
		if i > 0 && r.Seq != seen[i-1].Seq+1 {
			w.t.Fatalf("%d follows %d", r.Seq, seen[i-1].Seq)
		}
		if first, twice := at[r.ID]; twice {
			w.t.Fatalf("%s is at %d and at %d", r.ID, first, r.Seq)
		}
		if at[r.ID] = r.Seq; r.ID <= last[r.Channel] {
			w.t.Errorf("%s comes after %s", r.ID, last[r.Channel])
		}
		last[r.Channel] = r.ID
	}
	for id, seq := range w.acked {
		if at[id] != seq {
			w.t.Errorf("%s is acknowledged at %d, and the tail saw it at %d", id, seq, at[id])
		}
	}
	w.t.Logf("%d events acknowledged, %d seen, %d repairs", len(w.acked), len(seen), w.log.Stats().Repairs)
}

// more waits until so many more events are acknowledged.
func (w *watched) more(n int) {
	w.t.Helper()
	acked := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.acked) }
	want := acked() + n
	natstest.Eventually(w.t, "more acknowledged events", func() bool { return acked() >= want })
}

func TestServerThatStartsAgainHasLostNothing(t *testing.T) {
	s := natstest.Start(t, 1)
	w := watch(t, openOf(t, s, "sg.restart"))
	w.during(3, func() {
		for range 3 {
			w.more(100)
			s.Stop(0)
			s.Run(0)
		}
		w.more(100)
	})
	w.account()
	if info, err := w.log.Info(t.Context()); err != nil || info.Epoch != w.log.epoch {
		t.Errorf("%+v, %v; the epoch was %s", info, err, w.log.epoch)
	}
}

func TestNewLeaderHasAllThatTheOldOneAcknowledged(t *testing.T) {
	s := natstest.Start(t, 3)
	w := watch(t, openOf(t, s, "sg.leader"))
	if d := w.log.shape.Load().durability; d != broker.Quorum {
		t.Fatalf("three replicas are %s", d)
	}
	w.during(3, func() {
		for range 2 {
			w.more(100)
			i := s.Leader(w.log.name)
			s.Stop(i)
			w.more(100)
			s.Run(i)
		}
		w.more(100)
	})
	w.account()
}

func TestConnectionThatBreaksAndStallsLosesNothing(t *testing.T) {
	s := natstest.Start(t, 1)
	p := startProxy(t, fmt.Sprintf("127.0.0.1:%d", s.Options[0].Port))
	o := optionsOf(s, "sg.proxy")
	o.URL = "nats://" + p.address
	w := watch(t, open(t, o))
	w.during(3, func() {
		for range 3 {
			w.more(100)
			p.cut()
			w.more(100)
			p.stall(300 * time.Millisecond)
		}
		w.more(100)
	})
	w.account()
	if w.log.Stats().Reconnects < 3 {
		t.Errorf("%+v", w.log.Stats())
	}
}

func TestServerThatLostItsFilesIsANewEpoch(t *testing.T) {
	s := natstest.Start(t, 1)
	l := openOf(t, s, "sg.lost")
	w := watch(t, l)
	w.during(1, func() { w.more(10) })
	w.account()
	s.Stop(0)
	s.Forget(0)
	s.Run(0)
	if err := <-w.ended; !errors.Is(err, broker.ErrEpoch) {
		t.Fatalf("the tail ended with %v", err)
	}
	if again := openOf(t, s, "sg.lost"); again.epoch == l.epoch {
		t.Errorf("the epoch is %s as before", again.epoch)
	}
}

// TestStreamThatFellBackIsANewEpoch brings back the files of an hour ago, as a
// loss of power does that the disk did not know of, or a restored backup. The
// numbers after them are given to other events.
func TestStreamThatFellBackIsANewEpoch(t *testing.T) {
	for name, overtaken := range map[string]bool{"and ends before what was seen": false, "and went on beyond what was seen": true} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Start(t, 1)
			one, two := openOf(t, s, "sg.back"), openOf(t, s, "sg.back")
			w, v := watch(t, one), watch(t, two)
			w.during(1, func() { w.more(20) })
			old := t.TempDir()
			s.Stop(0)
			if err := os.CopyFS(old+"/then", os.DirFS(s.Options[0].StoreDir)); err != nil {
				t.Fatal(err)
			}
			s.Run(0)
			w.during(2, func() { w.more(20) })
			w.account()
			v.acked = w.acked
			v.settle()
			s.Stop(0)
			s.Forget(0)
			if err := os.Rename(old+"/then", s.Options[0].StoreDir); err != nil {
				t.Fatal(err)
			}
			if overtaken {
				// Another gateway, which saw nothing of it, is the first to write.
				port := s.Options[0].Port
				s.Options[0].Port = natstest.FreePort(t)
				s.Run(0)
				x := watch(t, openOf(t, s, "sg.back"))
				x.during(2, func() { x.more(200) })
				_ = x.log.Close()
				s.Stop(0)
				s.Options[0].Port = port
			}
			s.Run(0)
			for _, tail := range []*watched{w, v} {
				if err := <-tail.ended; !errors.Is(err, broker.ErrEpoch) {
					t.Fatalf("a tail ended with %v", err)
				}
			}
			a, b := openOf(t, s, "sg.back"), openOf(t, s, "sg.back")
			if a.epoch == one.epoch || a.epoch != b.epoch {
				t.Errorf("the epoch was %s, now it is %s and %s", one.epoch, a.epoch, b.epoch)
			}
		})
	}
}

func TestAppendSaysUnavailableWhileNoServerAnswers(t *testing.T) {
	s := natstest.Start(t, 1)
	l := openOf(t, s, "sg.away")
	s.Stop(0)
	if _, err := l.Append(t.Context(), nil, broker.AppendOptions{}); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("a probe says %v", err)
	}
	event := []wire.Event{{Channel: "a", ID: "1", Data: []byte("1")}}
	if results, err := l.Append(t.Context(), event, broker.AppendOptions{}); !errors.Is(err, broker.ErrUnavailable) || len(results) != 0 {
		t.Errorf("%v, %v", results, err)
	}
	began := time.Now()
	if _, err := l.Append(t.Context(), event, broker.AppendOptions{}); !errors.Is(err, broker.ErrUnavailable) || time.Since(began) > patience/2 {
		t.Errorf("%v after %s: once nobody has answered for long, nobody waits", err, time.Since(began))
	}
	ended := make(chan error)
	gone, leave := context.WithCancel(t.Context())
	go func() {
		_, err := l.Append(gone, event, broker.AppendOptions{})
		ended <- err
	}()
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, broker.ErrUnavailable) {
		t.Error(err)
	}
	s.Run(0)
	natstest.Eventually(t, "the server takes events again", func() bool {
		results, err := l.Append(t.Context(), event, broker.AppendOptions{})
		return err == nil && results[0].Seq == 1 && !results[0].Duplicate
	})
}

// proxy is a way to the server that can be cut and stopped.
type proxy struct {
	address string
	mu      sync.Mutex
	conns   []net.Conn
	gate    sync.RWMutex // held for writing while nothing passes
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close(); p.cut() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target)
			if err != nil {
				_ = from.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, from, to)
			p.mu.Unlock()
			go p.carry(from, to)
			go p.carry(to, from)
		}
	}()
	return p
}

func (p *proxy) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.gate.RLock()
		_, err = to.Write(buffer[:n])
		p.gate.RUnlock()
		if err != nil {
			return
		}
	}
}

// cut ends all connections, what is on its way included.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// stall lets nothing pass for a while.
func (p *proxy) stall(d time.Duration) {
	p.gate.Lock()
	defer p.gate.Unlock()
	time.Sleep(d)
}
