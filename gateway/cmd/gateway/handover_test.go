package main

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/gateway/broker/jetstream/natstest"
)

// handoverStreams is how many streams are moved; HANDOVER_STREAMS says another
// number, for figures to write down, and HANDOVER_GATEWAY the gateway of another
// build, for a comparison. Half of them behave as a browser's EventSource, which
// is cut off and comes back, half as a program that knows sg.drain and opens its
// next stream before it leaves the old one.
func handoverStreams() int {
	if n, err := strconv.Atoi(os.Getenv("HANDOVER_STREAMS")); err == nil {
		return n
	}
	return 200
}

// spread is that of the reconnects: the default for figures, and a shorter one
// for a test among others.
func spread() time.Duration {
	if handoverStreams() >= 1000 {
		return 10 * time.Second
	}
	return 3 * time.Second
}

// besideOthers runs a test at the same time as others, unless it is to give
// figures.
func besideOthers(t *testing.T) {
	t.Helper()
	if handoverStreams() < 1000 {
		t.Parallel()
	}
}

// TestStreamsThatMoveOnOverOneLogMissNothing drains a gateway without ending it:
// its clients come back to the same log, as they would come to another pod over
// a log that pods share. It is one: behind a log in its memory, a gateway that is
// come back to has its streams reload.
func TestStreamsThatMoveOnOverOneLogMissNothing(t *testing.T) {
	besideOthers(t)
	p := startOver(t, podName1, natstest.Start(t, 1).URL())
	c := newCrowd(t, handoverStreams(), p.main)
	before := p.cpu()
	c.run(t, spread()+6*time.Second, map[int]func(){
		1:                           func() { p.configure(`"drainPods":["` + podName1 + `"],`) },
		3 + int(spread().Seconds()): func() { p.configure("") },
	})
	t.Logf("\n%sthe gateway used %s of a processor, for %d moves and %d deliveries\n", c, p.cpu()-before, c.moves, len(c.sent)*handoverStreams())
	if c.lost+c.unnamed+c.forgotten > 0 || c.repeated > 0 || c.moved < handoverStreams() {
		t.Error("want every stream moved, and every event once in each")
	}
	if slices.Sort(c.gaps); len(c.gaps) == 0 || c.gaps[len(c.gaps)*99/100] > 2*time.Second {
		t.Error("the gaps are too long, or there are none")
	}
}

// TestRestartWithAnotherLogNamesWhatIsLost replaces a gateway whose log is in
// its memory: what the old one's clients missed is named, and they go on.
func TestRestartWithAnotherLogNamesWhatIsLost(t *testing.T) {
	besideOthers(t)
	old, fresh := startProcess(t), startProcess(t)
	c := newCrowd(t, handoverStreams(), old.main)
	c.run(t, spread()+6*time.Second, map[int]func(){1: func() {
		c.service.Store(&fresh.main)
		go func() {
			if err := old.stop(); err != nil {
				t.Errorf("the old gateway ended with %v", err)
			}
		}()
	}})
	t.Log("\n" + c.String())
	if c.unnamed > 0 || c.repeated > 0 || c.forgotten < handoverStreams() {
		t.Error("want every stream moved and told, and no event lost without a word")
	}
}

// TestRestartOverASharedLogMissesNothing replaces a gateway whose log is in a
// NATS server, which starts again meanwhile.
func TestRestartOverASharedLogMissesNothing(t *testing.T) {
	besideOthers(t)
	servers := natstest.Start(t, 1)
	old, fresh := startOver(t, podName1, servers.URL()), startOver(t, "prices-2", servers.URL())
	c := newCrowd(t, handoverStreams(), old.main)
	c.run(t, spread()+6*time.Second, map[int]func(){
		1: func() {
			c.service.Store(&fresh.main)
			go func() {
				if err := old.stop(); err != nil {
					t.Errorf("the old gateway ended with %v", err)
				}
			}()
		},
		3: func() { servers.Stop(0); servers.Run(0) },
	})
	t.Log("\n" + c.String())
	if c.lost+c.unnamed+c.forgotten > 0 || c.repeated > 0 || c.moved < handoverStreams() {
		t.Error("want every stream moved, none of them to reload, and every event once in each")
	}
}
