package transport

import (
	"net"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAnIdleStreamOnASocketTakesLittleMemory opens clients that are bare
// descriptors, so that what this process needs besides is the server's.
func TestAnIdleStreamOnASocketTakesLittleMemory(t *testing.T) {
	const streams, most = 2000, 1900
	p := newPod(t)
	host, _, _ := strings.Cut(strings.TrimPrefix(p.serve(t, "sockets"), "http://"), "/")
	server, err := net.ResolveTCPAddr("tcp4", host)
	if err != nil {
		t.Fatal(err)
	}
	open := func(n int) {
		for range n {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Close(fd) })
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: server.Port, Addr: [4]byte(server.IP.To4())}); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(fd, []byte(getText("channels=a", "1.1")+"\r\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools held
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse + m.OtherSys
	}
	few := func() { // what a crowd at once needs for its handshakes stays for the next one
		want := p.active() + 100
		open(100)
		await(t, "streams", func() bool { return p.active() == want })
	}
	few()
	before := used()
	for range streams / 100 {
		few()
	}
	each := (used() - before) / streams
	t.Logf("%d bytes for a stream", each)
	if each > most {
		t.Errorf("a stream takes %d bytes of user memory, %d are allowed", each, most)
	}
}
