package server

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// cgroup is what the kernel holds against this process: version 2, or 1 where
// memory is still counted there.
type cgroup struct {
	root    fs.FS  // of the machine
	limit   string // file with the limit
	sockets string // file with what sockets use
	v1      bool
}

const (
	procSelf = "proc/self/cgroup"
	mountV2  = "sys/fs/cgroup"
	mountV1  = "sys/fs/cgroup/memory"
	// noLimit is above what any machine has: version 1 says so for none.
	noLimit = 1 << 60
)

// findCgroup finds the files of this process. What is not there reads as no
// limit and no sockets.
func findCgroup(root fs.FS) cgroup {
	text, _ := fs.ReadFile(root, procSelf) // absent outside of Linux
	for line := range strings.Lines(string(text)) {
		number, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, own, _ := strings.Cut(rest, ":")
		switch {
		case number == "0":
			if c := newCgroup(root, mountV2, own, "memory.max", "memory.stat", false); c.limit != "" {
				return c
			}
		case controllers == "memory":
			if c := newCgroup(root, mountV1, own, "memory.limit_in_bytes", "memory.kmem.tcp.usage_in_bytes", true); c.limit != "" {
				return c
			}
		}
	}
	return cgroup{root: root}
}

// newCgroup looks below the mount for the process's own folder, and then in
// the mount itself, which is the same where a container sees only its own.
func newCgroup(root fs.FS, mount, own, limit, sockets string, v1 bool) cgroup {
	for _, folder := range []string{path.Join(mount, own), mount} {
		if _, err := fs.Stat(root, path.Join(folder, limit)); err == nil {
			return cgroup{root, path.Join(folder, limit), path.Join(folder, sockets), v1}
		}
	}
	return cgroup{}
}

// limitBytes is the limit; 0 = there is none.
func (c cgroup) limitBytes() int64 {
	n := c.number(c.limit, "")
	if n >= noLimit {
		return 0
	}
	return n
}

// socketBytes is what the kernel holds for the sockets of the group.
func (c cgroup) socketBytes() int64 {
	if c.v1 {
		return c.number(c.sockets, "")
	}
	return c.number(c.sockets, "sock")
}

// number reads a file of one number, or the line of this name; 0 when it is
// not there or no number ("max").
func (c cgroup) number(file, name string) int64 {
	if file == "" {
		return 0
	}
	text, _ := fs.ReadFile(c.root, file) // gone with the group, or with this kernel: reads as none
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && (name == "" || len(fields) == 2 && fields[0] == name) {
			n, _ := strconv.ParseInt(fields[len(fields)-1], 10, 64) // "max" is none
			return n
		}
	}
	return 0
}
