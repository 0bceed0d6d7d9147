//go:build linux

package proc

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Sockets is the kernel memory in the buffers of TCP sockets, in bytes. What a
// socket costs without any data (its structures, some 4 KiB) is not in it.
type Sockets struct {
	Count    int   `json:"count"`
	Received int64 `json:"receivedBytes"` // waiting for the process to read
	Queued   int64 `json:"queuedBytes"`   // written, not acknowledged by the peer
	Forward  int64 `json:"forwardBytes"`  // reserved in advance
}

// Total is all of it.
func (s Sockets) Total() int64 { return s.Received + s.Queued + s.Forward }

// Layout of linux/inet_diag.h.
const (
	sockDiagByFamily = 20
	skMemInfo        = 7  // INET_DIAG_SKMEMINFO
	requestBytes     = 56 // inet_diag_req_v2
	messageBytes     = 72 // inet_diag_msg
	established      = 1  // TCP_ESTABLISHED
)

// Places in the array of INET_DIAG_SKMEMINFO.
const (
	memRmemAlloc   = 0
	memFwdAlloc    = 4
	memWmemQueued  = 5
	memInfoEntries = 6 // as many as are used here
)

// SocketsOf sums the buffers of the established IPv4 connections whose local
// port is this one: those of a server on loopback, and not its clients'.
func SocketsOf(port uint16) (Sockets, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return Sockets{}, fmt.Errorf("opening netlink: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	request := make([]byte, unix.NLMSG_HDRLEN+requestBytes)
	order := binary.NativeEndian
	order.PutUint32(request, uint32(len(request)))
	order.PutUint16(request[4:], sockDiagByFamily)
	order.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := request[unix.NLMSG_HDRLEN:]
	body[0], body[1], body[2] = unix.AF_INET, unix.IPPROTO_TCP, 1<<(skMemInfo-1)
	order.PutUint32(body[4:], 1<<established)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return Sockets{}, fmt.Errorf("asking for sockets: %w", err)
	}
	var sum Sockets
	for buf := make([]byte, 256<<10); ; {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return Sockets{}, fmt.Errorf("reading sockets: %w", err)
		}
		done, err := sum.add(buf[:n], port)
		if done || err != nil {
			return sum, err
		}
	}
}

// add reads one datagram of netlink messages.
func (s *Sockets) add(b []byte, port uint16) (done bool, err error) {
	order := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(order.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return false, errors.New("reading sockets: a message is cut")
		}
		switch order.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			return false, errors.New("reading sockets: the kernel refused")
		case sockDiagByFamily:
			s.addSocket(b[unix.NLMSG_HDRLEN:size], port)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

func (s *Sockets) addSocket(b []byte, port uint16) {
	if len(b) < messageBytes || binary.BigEndian.Uint16(b[4:]) != port {
		return
	}
	s.Count++
	order := binary.NativeEndian
	for b = b[messageBytes:]; len(b) >= 4; {
		size, kind := int(order.Uint16(b)), order.Uint16(b[2:])
		if size < 4 || size > len(b) {
			return
		}
		if kind == skMemInfo && size >= 4+4*memInfoEntries {
			word := func(i int) int64 { return int64(order.Uint32(b[4+4*i:])) }
			s.Received += word(memRmemAlloc)
			s.Queued += word(memWmemQueued)
			s.Forward += word(memFwdAlloc)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}
