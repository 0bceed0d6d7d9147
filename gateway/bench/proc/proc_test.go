//go:build linux

package proc

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestProcessorTimeGrowsByWhatIsUsedAndCountsChildren(t *testing.T) {
	user, kernel, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	busy := exec.Command("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if err := busy.Run(); err != nil {
		t.Fatal(err)
	}
	user2, kernel2, err := CPU(os.Getpid())
	if used := busy.ProcessState.UserTime(); err != nil || user2-user < used-20*time.Millisecond || kernel2 < kernel {
		t.Errorf("used %s, counted %s (%v)", used, user2-user, err)
	}
}

func TestUserMemoryGrowsByPagesThatAreTouched(t *testing.T) {
	before, err := UserMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Not from Go's heap: the race detector doubles that.
	pages, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(pages) //nolint:errcheck // the process ends
	for i := 0; i < len(pages); i += 4096 {
		pages[i] = 1
	}
	after, err := UserMemory(os.Getpid())
	if grown := after.Anonymous - before.Anonymous; err != nil || grown < 60<<20 || grown > 80<<20 || after.Resident < after.Anonymous {
		t.Errorf("64 MiB were touched, %d bytes counted (%v)", grown, err)
	}
}

func TestSocketsOfCountsWhatIsQueuedForAPeerThatDoesNotRead(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	if s, err := SocketsOf(port); err != nil || s.Count != 1 || s.Queued != 0 {
		t.Fatalf("before: %+v, %v", s, err)
	}
	if err := server.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, _ := server.Write(make([]byte, 64<<20)) // ends at the deadline
	if s, err := SocketsOf(port); err != nil || s.Count != 1 || s.Queued < 32<<10 || s.Queued > 64<<20 {
		t.Errorf("after %d bytes: %+v, %v", n, s, err)
	}
	if s, err := SocketsOf(1); err != nil || s.Count != 0 {
		t.Errorf("a port without connections: %+v, %v", s, err)
	}
}

func TestSlabGrowsWithSockets(t *testing.T) {
	before, err := Slab()
	if err != nil {
		t.Fatal(err)
	}
	for range 4000 {
		l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(l) //nolint:errcheck // nothing was written
	}
	// Other processes take and give back structures meanwhile.
	if after, err := Slab(); err != nil || after-before < 4<<20 {
		t.Errorf("%d bytes more for 4,000 sockets, %v", after-before, err)
	}
}
