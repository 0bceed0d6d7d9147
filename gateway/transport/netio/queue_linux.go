package netio

import (
	"context"
	"net"

	"golang.org/x/sys/unix"
)

// queueBytes is how many bytes of a stream may wait in the kernel unsent.
const queueBytes = 64 << 10

// tcpKey is the context key of the connection that ShortQueue was given.
type tcpKey struct{}

// ShortQueue is for http.Server.ConnContext. It keeps the kernel from taking in
// megabytes for a client that has stopped reading: the engine would believe them
// delivered and never call that client slow, and the memory is charged to the
// pod. What is on its way unacknowledged is not bounded by it, so that a fast
// connection stays fast. Sockets take over only connections that came by here.
func ShortQueue(ctx context.Context, conn net.Conn) context.Context {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return ctx
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return ctx // closed already
	}
	// A kernel that refuses leaves a longer queue, which is no error.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, queueBytes)
	})
	return context.WithValue(ctx, tcpKey{}, tcp)
}
