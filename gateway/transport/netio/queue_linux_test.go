package netio

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// taken is how many bytes the kernel takes for a client that reads nothing.
func taken(t *testing.T, prepare func(net.Conn)) (total int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	prepare(server)
	piece := make([]byte, 16<<10)
	for {
		if err := server.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := server.Write(piece)
		total += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return total
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelTakesLittleForAClientThatDoesNotRead(t *testing.T) {
	long := taken(t, func(net.Conn) {})
	short := taken(t, func(c net.Conn) { ShortQueue(t.Context(), c) })
	t.Logf("taken without a reader: %d KiB, with a short queue %d KiB", long>>10, short>>10)
	// What the client's own kernel takes in is beyond the server: 128 KiB as a rule.
	if short > 512<<10 || short >= long {
		t.Errorf("the kernel took %d bytes, %d without the setting", short, long)
	}
}
