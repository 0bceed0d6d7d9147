//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// dialer connects from inside a node's network namespace, where pods and
// ClusterIPs can be reached as they are by a pod: no port-forward in between
// that would break with its pod or hide a reset. NAME.NAMESPACE is looked up as
// a Service. Where there is no such namespace (an existing cluster), it connects
// from here, so the suite must then run where ClusterIPs can be reached.
type dialer struct {
	core  kubernetes.Interface
	jobs  chan func() // run by threads inside the namespace; nil: from here
	mu    sync.Mutex
	names map[string]string // NAME.NAMESPACE → ClusterIP
}

// dialers is how many connects are under way at a time: a thread each.
const dialers = 8

func newDialer(core kubernetes.Interface, nodePID int) (*dialer, error) {
	d := &dialer{core: core, names: map[string]string{}}
	if nodePID == 0 {
		return d, nil
	}
	d.jobs = make(chan func())
	entered := make(chan error)
	for range dialers {
		go d.thread(nodePID, entered)
	}
	for range dialers {
		if err := <-entered; err != nil {
			return nil, fmt.Errorf("entering the network namespace of process %d (needs root): %w", nodePID, err)
		}
	}
	return d, nil
}

// thread enters the namespace and runs jobs there for the life of the process.
// It never unlocks: a thread of another namespace must not serve anything else.
func (d *dialer) thread(nodePID int, entered chan<- error) {
	runtime.LockOSThread()
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", nodePID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Setns(fd, unix.CLONE_NEWNET)
		_ = unix.Close(fd) // the thread is in the namespace now, whatever becomes of the handle
	}
	entered <- err
	if err != nil {
		return
	}
	for job := range d.jobs {
		job()
	}
}

// DialContext connects over TCP to NAME.NAMESPACE:PORT or IP:PORT.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		if host, err = d.clusterIP(ctx, host); err != nil {
			return nil, err
		}
	}
	// The address is a literal IP, so net opens the socket on the calling
	// thread; a socket stays in the namespace that it was opened in.
	connect := (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	target := net.JoinHostPort(host, port)
	if d.jobs == nil {
		return connect(ctx, network, target)
	}
	var conn net.Conn
	done := make(chan struct{})
	d.jobs <- func() {
		defer close(done)
		conn, err = connect(ctx, network, target)
	}
	<-done
	return conn, err
}

// listen opens a port of the node: pods reach it at the node's address.
func (d *dialer) listen(address string) (l net.Listener, err error) {
	done := make(chan struct{})
	d.jobs <- func() {
		defer close(done)
		l, err = net.Listen("tcp", address) // a literal address, as above
	}
	<-done
	return l, err
}

func (d *dialer) clusterIP(ctx context.Context, host string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ip := d.names[host]; ip != "" {
		return ip, nil
	}
	name, namespace, found := strings.Cut(host, ".")
	if !found {
		return "", fmt.Errorf("%q: want SERVICE.NAMESPACE or an IP address", host)
	}
	service, err := d.core.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("looking up Service %s: %w", host, err)
	}
	d.names[host] = service.Spec.ClusterIP
	return service.Spec.ClusterIP, nil
}
