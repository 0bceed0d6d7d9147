package fanout

import (
	"fmt"
	"runtime/debug"
)

// CrashOnPanic ends the process when the caller panics, and is to be deferred.
// A loop runs on whatever goroutine has news for it, a handler of net/http as
// a rule, and net/http goes on after a panic: then a loop would stay held for
// ever and its state half changed. Clients resume on the next process; on a
// corrupt state they would lose events in silence.
func CrashOnPanic() {
	cause := recover()
	if cause == nil {
		return
	}
	stack := debug.Stack()
	go func() { panic(fmt.Sprintf("%v\n\nwhere it came from:\n%s", cause, stack)) }()
	select {} // the panic of a goroutine without callers ends the process
}
