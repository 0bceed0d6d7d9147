package jetstream

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
	"github.com/streamgateway/streamgateway/gateway/broker/keys"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

func TestStreamOfSomebodyElseIsTakenOrItsFaultNamed(t *testing.T) {
	s := natstest.Start(t, 1)
	conn, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := natsjs.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for want, change := range map[string]func(*natsjs.StreamConfig){
		"":                                  func(*natsjs.StreamConfig) {},
		"give it the subject sg.own.e.>":    func(c *natsjs.StreamConfig) { c.Subjects = []string{"other.>"} },
		"give these a stream of their own":  func(c *natsjs.StreamConfig) { c.Subjects = append(c.Subjects, "other.>") },
		"make it anew with limits":          func(c *natsjs.StreamConfig) { c.Retention = natsjs.InterestPolicy },
		"set discard to old":                func(c *natsjs.StreamConfig) { c.Discard = natsjs.DiscardNew },
		"set the maximum per subject to -1": func(c *natsjs.StreamConfig) { c.MaxMsgsPerSubject = 3 },
		"allow direct access":               func(c *natsjs.StreamConfig) { c.AllowDirect = false },
		"set its duplicate window to 5m0s":  func(c *natsjs.StreamConfig) { c.Duplicates = time.Minute },
		"or acknowledges nothing":           func(c *natsjs.StreamConfig) { c.NoAck = true },
		"it rewrites subjects; take its tra": func(c *natsjs.StreamConfig) {
			c.SubjectTransform = &natsjs.SubjectTransformConfig{Source: "sg.own.e.>", Destination: "else.>"}
		},
	} {
		made++ // servers may not have let go of the folder of a deleted one's name
		c := natsjs.StreamConfig{
			Name: fmt.Sprint("OWN", made), Subjects: []string{"sg.own.e.>"}, Storage: natsjs.FileStorage,
			MaxAge: time.Hour, Duplicates: keys.Span, AllowDirect: true,
		}
		change(&c)
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		o := optionsOf(s, "sg.own")
		o.Stream = c.Name
		l, err := Open(t.Context(), o)
		if want == "" {
			if err != nil {
				t.Fatal(err)
			}
			_ = l.Close()
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := js.DeleteStream(t.Context(), c.Name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReplicasNeedBatchesThatAreWhole(t *testing.T) {
	o := Options{SubjectPrefix: "sg.own"}
	c := natsjs.StreamConfig{Subjects: []string{"sg.own.e.>"}, Replicas: 3, Duplicates: keys.Span, AllowDirect: true}
	if err := o.judge(c); err == nil || !strings.Contains(err.Error(), "allow atomic batches") {
		t.Error(err)
	}
	if c.AllowAtomicPublish = true; o.judge(c) != nil {
		t.Error(o.judge(c))
	}
}

func TestStreamKeepsEventsForAsLongAsTheLongestGatewayAsks(t *testing.T) {
	s := natstest.Start(t, 1)
	l := openOf(t, s, "sg.retain")
	for _, tc := range []struct{ ask, want time.Duration }{
		{5 * time.Minute, 10 * time.Minute}, {time.Hour, time.Hour}, {20 * time.Minute, time.Hour},
	} {
		if err := l.Retain(t.Context(), tc.ask); err != nil {
			t.Fatal(err)
		}
		state, err := l.state(t.Context())
		if err != nil || state.info.Config.MaxAge != tc.want {
			t.Errorf("asked for %s, it keeps %s, %v", tc.ask, state.info.Config.MaxAge, err)
		}
	}
}

func TestGatewaysKnowEachOthersRepeats(t *testing.T) {
	s := natstest.Start(t, 1)
	one, two := openOf(t, s, "sg.both"), openOf(t, s, "sg.both")
	event := wire.Event{Channel: "a", Source: "/s", ID: "1", Data: []byte("x")}
	first, err := one.Append(t.Context(), []wire.Event{event}, broker.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := wire.Event{Channel: "a", ID: "2", Data: []byte("y")}
	// The second gateway has no tail, so that the servers are all that know.
	again, err := two.Append(t.Context(), []wire.Event{event, other}, broker.AppendOptions{})
	if err != nil || !again[0].Duplicate || again[0].Seq != first[0].Seq || again[0].Time != first[0].Time || again[1].Duplicate {
		t.Errorf("%+v, then %+v, %v", first, again, err)
	}
	event.Data = []byte("z")
	var mismatch *broker.MismatchError
	if results, err := two.Append(t.Context(), []wire.Event{event}, broker.AppendOptions{}); !errors.As(err, &mismatch) || len(results) != 0 {
		t.Errorf("%+v, %v", results, err)
	}
	// With a tail it knows before it asks, and then nothing of a request is added.
	third := openOf(t, s, "sg.both")
	go func() { _ = third.Tail(t.Context(), 0, func([]wire.Record) error { return nil }) }()
	natstest.Eventually(t, "the tail has come to the end", func() bool { return third.Stats().Keys == 2 })
	if _, err := third.Append(t.Context(), []wire.Event{{Channel: "a", ID: "3", Data: []byte("1")}, event}, broker.AppendOptions{}); !errors.As(err, &mismatch) || mismatch.Index != 1 {
		t.Error(err)
	}
	if info, err := third.Info(t.Context()); err != nil || info.Tail != 2 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestLogBeginsAfterTheLastDeletedMessage(t *testing.T) {
	s := natstest.Start(t, 1)
	l := openOf(t, s, "sg.hole")
	for range 5 {
		if _, err := l.Append(t.Context(), []wire.Event{{Channel: "a", Data: []byte("1")}}, broker.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := l.js.Stream(t.Context(), l.name)
	if err == nil {
		err = stream.DeleteMsg(t.Context(), 3)
	}
	if err != nil {
		t.Fatal(err)
	}
	info, err := l.Info(t.Context())
	if err != nil || info.First != 4 || info.Tail != 5 {
		t.Errorf("%+v, %v", info, err)
	}
	var gone *broker.EvictedError
	if err := l.Tail(t.Context(), 1, func([]wire.Record) error { return nil }); !errors.As(err, &gone) || gone.First != 4 {
		t.Errorf("a tail from before the hole: %v", err)
	}
	if records, more, err := l.Read(t.Context(), 3, 10); err != nil || len(records) != 2 || more {
		t.Errorf("%d records, %v, %v", len(records), more, err)
	}
}

func TestMessageThatNoGatewayWroteIsARecordOfNobody(t *testing.T) {
	s := natstest.Start(t, 1)
	l := openOf(t, s, "sg.foreign")
	for _, subject := range []string{"sg.foreign.e.prices", "sg.foreign.e.no channel"} {
		subject = strings.ReplaceAll(subject, " ", "%")
		if err := l.conn.Publish(subject, []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Append(t.Context(), []wire.Event{{Channel: "a", Data: []byte("1")}}, broker.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	records, _, err := l.Read(t.Context(), 0, 10)
	if err != nil || len(records) != 3 || !wire.Own(records[0].Channel) || !wire.Own(records[1].Channel) || len(records[0].Data) != 0 || records[2].Channel != "a" {
		t.Errorf("%+v, %v", records, err)
	}
}

func TestEventAboveTheServersBoundIsRefusedAtOnce(t *testing.T) {
	s := natstest.Start(t, 1)
	l := openOf(t, s, "sg.large")
	began := time.Now()
	_, err := l.Append(t.Context(), []wire.Event{{Channel: "a", Data: make([]byte, 2<<20)}}, broker.AppendOptions{})
	if !errors.Is(err, nats.ErrMaxPayload) || time.Since(began) > patience {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
