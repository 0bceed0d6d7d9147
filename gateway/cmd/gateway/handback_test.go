package main

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/noloss"
)

// service leads each new connection to the pod that it knows, as a Service of
// Kubernetes does; those that are open stay where they are.
type service struct {
	address string
	to      atomic.Pointer[string]
}

func newService(t *testing.T, to *process) *service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &service{address: l.Addr().String()}
	s.to.Store(&to.main)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go s.lead(client)
		}
	}()
	return s
}

func (s *service) lead(client net.Conn) {
	defer client.Close()
	pod, err := net.Dial("tcp", *s.to.Load())
	if err != nil {
		return
	}
	defer pod.Close()
	go func() {
		_, _ = io.Copy(pod, client)
		_ = pod.Close()
	}()
	_, _ = io.Copy(client, pod)
}

// TestAChangeThatIsTakenBackNamesWhatTheOtherLogTook hands over from one gateway
// to another, each with its log in its memory, and back before all streams have
// moved: those that stayed on the first one are told of what the second one took,
// and those that came early to the second one of what the first one took.
func TestAChangeThatIsTakenBackNamesWhatTheOtherLogTook(t *testing.T) {
	besideOthers(t)
	old, fresh := startOver(t, "prices-1", ""), startOver(t, "prices-2", "")
	way := newService(t, old)
	o := noloss.DefaultOptions()
	o.URL, o.Duration, o.Cuts, o.Strict = "http://"+way.address, 14*time.Second, 40, false
	at := func(d time.Duration, do func()) { time.AfterFunc(d, do) }
	list := func(pod string) {
		for _, p := range []*process{old, fresh} {
			p.configure(`"drainPods":["` + pod + `"],`)
		}
	}
	at(2*time.Second, func() { // both are in the Service for a while, then the first one stands by
		way.to.Store(&fresh.main)
		time.Sleep(300 * time.Millisecond)
		list("prices-1")
	})
	at(4*time.Second, func() { // a part of the streams has moved; now the other way round
		old.configure("")
		fresh.configure("")
		way.to.Store(&old.main)
		time.Sleep(300 * time.Millisecond)
		list("prices-2")
	})
	r, err := noloss.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + r.String())
	if !r.Passed || r.Named == 0 || r.Controls["sg.drain"] == 0 {
		t.Error("want streams moved, and every event delivered or named")
	}
}
