package engine

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

// brokenSink is a mistake of ours.
type brokenSink struct{}

func (brokenSink) TryWrite([]byte) (int, bool, error) { panic("sink is broken") }
func (brokenSink) Close()                             {}

// crashes runs fn as net/http runs a handler: a panic is caught, and the
// program goes on.
func crashes(fn func()) {
	defer func() { _ = recover() }()
	fn()
}

func TestAPanicInALoopOrTheLogEndsTheProcess(t *testing.T) {
	const role = "SG_TEST_CRASH"
	switch os.Getenv(role) {
	case "loop":
		crashes(func() { openBroken(t) })
		os.Exit(0) // it went on
	case "log":
		crashes(func() { newBare().Append([]wire.Record{{Seq: 7}}) })
		os.Exit(0)
	}
	for part, message := range map[string]string{"loop": "sink is broken", "log": "ring: append of 7 after head 0"} {
		t.Run(part, func(t *testing.T) {
			again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestAPanicInALoopOrTheLogEndsTheProcess$")
			again.Env = append(os.Environ(), role+"="+part)
			out, err := again.CombinedOutput()
			if err == nil {
				t.Fatalf("the process went on: %s", out)
			}
			if text := string(out); !strings.Contains(text, message) || !strings.Contains(text, "where it came from") || !strings.Contains(text, "crash_test.go") {
				t.Errorf("it does not say what happened and where: %s", text)
			}
		})
	}
}

func newBare() *Engine {
	return New(Options{Epoch: "e", Buckets: 1, Bucket: func(float64) int { return 0 }}, Tuning{})
}

func openBroken(t *testing.T) {
	subs, err := wire.NewSubSet([]string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newBare().Open(Request{Subs: subs})
	if err != nil {
		t.Fatal(err)
	}
	s.Start(brokenSink{})
}
