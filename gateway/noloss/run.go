package noloss

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a run.
type Options struct {
	URL         string                 // base of the gateway
	Client      *http.Client           // nil: one of the run's own
	Token       func() (string, error) // bearer token to publish with; nil: none
	Publishers  int
	Subscribers int
	Channels    int
	Rate        float64       // events per second, all publishers together
	Duration    time.Duration // of publishing; longer when not all cuts found a connection by then
	Settle      time.Duration // longest wait for an acknowledgement, and at the end for what is on its way
	Cuts        int           // connections broken while publishing, at random places
	Away        time.Duration // longest wait before a cut connection is opened again; beyond the replay buffer events get lost and have to be named
	Slow        int           // subscribers that stop reading now and then, until the gateway skips events for them
	Formats     []string      // taken in turn by the subscribers
	Strict      bool          // a loss that was named is a fault too
	Seed        uint64        // same seed: same channels, forms, sizes and cut places; not the same interleaving
}

// DefaultOptions is a run of half a minute against a gateway on loopback.
func DefaultOptions() Options {
	return Options{
		URL: "http://127.0.0.1:8080", Publishers: 3, Subscribers: 24, Channels: 8, Rate: 200,
		Duration: 30 * time.Second, Settle: 15 * time.Second, Cuts: 200, Away: 200 * time.Millisecond, Formats: Formats(), Strict: true, Seed: 1,
	}
}

// Validate says what keeps the options from being run.
func (o Options) Validate() error {
	switch {
	case o.Publishers < 1 || o.Subscribers < 1 || o.Channels < 1 || o.Cuts < 0:
		return errors.New("publishers, subscribers and channels must be at least 1, cuts at least 0")
	case o.Rate <= 0 || o.Duration <= 0 || o.Settle <= 0 || o.Away <= 0:
		return errors.New("rate, duration, settle and away must be over 0")
	case o.Slow < 0 || o.Slow > o.Subscribers:
		return errors.New("slow must be from 0 to the number of subscribers")
	case len(o.Formats) == 0:
		return errors.New("formats must name at least one format")
	}
	for _, f := range o.Formats {
		if !slices.Contains(Formats(), f) {
			return fmt.Errorf("unknown format %q; formats are %s", f, strings.Join(Formats(), ", "))
		}
	}
	return nil
}

// narrow connects with a small receive buffer: with a large one, the kernel
// would read on for a subscriber that has stopped.
func narrow(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
		err = tcp.SetReadBuffer(receiveBytes)
	}
	return conn, err
}

type run struct {
	options     Options
	name        string
	book        *book
	channels    []string
	publishers  []*publisher
	subscribers []*subscriber
	rand        *rand.Rand
	loaded      atomic.Bool // events are being published: the time to be slow
}

// Run publishes, reads and breaks connections as the options say, and judges. The
// error is for a run that could not take place; a broken promise is in the result.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	if o.Client == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: o.Publishers, DialContext: narrow}
		defer transport.CloseIdleConnections()
		o.Client = &http.Client{Transport: transport}
	}
	r := newRun(o, strconv.FormatInt(time.Now().UnixNano(), 36))
	began := time.Now()
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)
	var readers sync.WaitGroup
	for _, s := range r.subscribers {
		readers.Go(func() {
			if err := s.run(reading); err != nil {
				stopReading(fmt.Errorf("subscriber %d: %w", s.index, err))
			}
		})
	}
	err := r.publish(reading)
	if err == nil {
		r.settle(reading)
		err = context.Cause(reading)
	}
	stopReading(nil)
	readers.Wait()
	if err != nil {
		return Result{}, err
	}
	return r.verdict(time.Since(began)), nil
}

func newRun(o Options, name string) *run {
	r := &run{options: o, name: name, book: newBook(o.Publishers), rand: rand.New(rand.NewPCG(o.Seed, 0))}
	for i := range o.Channels {
		r.channels = append(r.channels, fmt.Sprintf("noloss.%s.c%d", name, i))
	}
	for i := range o.Publishers {
		r.publishers = append(r.publishers, &publisher{
			index: i, options: &r.options, book: r.book, channels: r.channels, rand: rand.New(rand.NewPCG(o.Seed, 1000+uint64(i))),
		})
	}
	for i := range o.Subscribers {
		r.subscribers = append(r.subscribers, r.newSubscriber(i))
	}
	return r
}

func (r *run) newSubscriber(i int) *subscriber {
	s := &subscriber{
		index: i, format: r.options.Formats[i%len(r.options.Formats)], options: &r.options, book: r.book,
		rand: rand.New(rand.NewPCG(r.options.Seed, 2000+uint64(i))), stalls: func() bool { return i < r.options.Slow && r.loaded.Load() },
		live: make(chan struct{}), seen: make([][]bool, r.options.Publishers), highest: map[string]Cursor{}, floor: map[string]Cursor{},
		resumes: map[string]int{}, controls: map[string]int{},
	}
	switch r.rand.IntN(4) {
	case 0:
		s.patterns = []string{"noloss." + r.name + ".>"}
	case 1:
		s.patterns = []string{"noloss." + r.name + ".*", r.channels[0]}
	default:
		for _, at := range r.rand.Perm(len(r.channels))[:1+r.rand.IntN(len(r.channels))] {
			s.patterns = append(s.patterns, r.channels[at])
		}
	}
	for _, channel := range r.channels {
		if slices.ContainsFunc(s.patterns, func(p string) bool { return matches(p, channel) }) {
			s.floor[channel] = Cursor{}
		}
	}
	return s
}

// publish waits until every subscriber is live, so that each event counts for
// each of them, then lets publishers and cutter work for the duration.
func (r *run) publish(ctx context.Context) error {
	for _, s := range r.subscribers {
		select {
		case <-s.live:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(r.options.Settle):
			return fmt.Errorf("subscriber %d was not live after %s", s.index, r.options.Settle)
		}
	}
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	end := time.After(r.options.Duration)
	var (
		wg   sync.WaitGroup
		once sync.Once
		err  error
	)
	for _, p := range r.publishers {
		wg.Go(func() {
			if failed := p.run(publishing, r.options.Rate/float64(r.options.Publishers)); failed != nil {
				once.Do(func() { err = failed })
				stop()
			}
		})
	}
	r.loaded.Store(true)
	r.cutter(publishing)
	select {
	case <-end:
	case <-publishing.Done():
	}
	r.loaded.Store(false)
	stop()
	wg.Wait()
	return err
}

// cutter spreads the cuts over the first nine tenths of the time, one at a
// random moment of each share. On a slow machine it goes on for up to as long as
// the settling may take, and publishing with it.
func (r *run) cutter(ctx context.Context) {
	if r.options.Cuts == 0 {
		return
	}
	begun, share := time.Now(), r.options.Duration*9/10/time.Duration(r.options.Cuts)
	late := time.After(r.options.Duration + r.options.Settle)
	for done := 0; done < r.options.Cuts; {
		moment := begun.Add(time.Duration(done)*share + time.Duration(r.rand.Int64N(int64(share)+1)))
		select {
		case <-time.After(max(time.Until(moment), time.Millisecond)):
		case <-late:
			return
		case <-ctx.Done():
			return
		}
		if r.subscribers[r.rand.IntN(len(r.subscribers))].cut(r.rand.IntN(cutBytes)) {
			done++
		}
	}
}

func (r *run) settle(ctx context.Context) {
	end := time.Now().Add(r.options.Settle)
	for !r.settled() && time.Now().Before(end) && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // whoever repeats an event does so late
}
