package fanout

// Sink takes the bytes of one stream. Its methods are called by one goroutine
// at a time, never block, and must not call back into the stream before they
// return.
type Sink interface {
	// TryWrite takes n bytes of b and tells whether it is blocked: then it is
	// not called again before the owner of the sink has called
	// Stream.Writable. A sink that hands b to a writer of its own takes all of
	// it and is blocked until the socket took the last byte. b is shared by
	// many streams and never changes. An error ends the stream.
	TryWrite(b []byte) (n int, blocked bool, err error)
	// Close ends the connection: orderly when nothing is being written, else
	// at once. It is called exactly once.
	Close()
}
