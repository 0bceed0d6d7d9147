//go:build linux

// Package proc reads what the kernel knows of a process and its children:
// processor time, memory, descriptors, and the memory of its sockets.
//
// It judges nothing. It is called by gateway/bench.
package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Memory is the user memory of a process tree, in bytes.
type Memory struct {
	Resident  int64 `json:"residentBytes"`  // pages present, shared ones by their share
	Anonymous int64 `json:"anonymousBytes"` // heaps, stacks and what the runtime holds
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, 100 on every
// architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// Tree gives a process and all its descendants that live.
func Tree(pid int) ([]int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range all {
		fields, err := stat(path)
		if err != nil {
			continue // ended meanwhile
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		children[parent] = append(children[parent], child)
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// stat gives the fields behind the name, which may hold blanks and brackets.
// The first one is the state, field 3 of proc_pid_stat(5).
func stat(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("reading %s: %d fields only", path, len(fields))
	}
	return fields, nil
}

// CPU is the processor time that a process tree used since its start, in user
// and kernel mode, children that ended included. It counts in steps of 10 ms.
func CPU(pid int) (user, kernel time.Duration, err error) {
	tree, err := Tree(pid)
	if err != nil {
		return 0, 0, err
	}
	for _, p := range tree {
		fields, err := stat(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			if p != pid && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return 0, 0, fmt.Errorf("reading processor time: %w", err)
		}
		for i, into := range []*time.Duration{&user, &kernel, &user, &kernel} {
			ticks, err := strconv.ParseInt(fields[11+i], 10, 64) // utime, stime, cutime, cstime
			if err != nil {
				return 0, 0, fmt.Errorf("reading processor time: %w", err)
			}
			*into += time.Duration(ticks) * clockTick
		}
	}
	return user, kernel, nil
}

// UserMemory is what the process tree holds.
func UserMemory(pid int) (Memory, error) {
	tree, err := Tree(pid)
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for _, p := range tree {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		if err != nil {
			if p != pid && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return Memory{}, fmt.Errorf("reading memory: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			var kib int64
			switch name, value, _ := strings.Cut(line, ":"); name {
			case "Pss", "Pss_Anon":
				if _, err := fmt.Sscanf(value, "%d kB", &kib); err != nil {
					return Memory{}, fmt.Errorf("reading memory from %q: %w", line, err)
				}
				if name == "Pss" {
					m.Resident += kib << 10
				} else {
					m.Anonymous += kib << 10
				}
			}
		}
	}
	return m, nil
}

// Descriptors is how many files and sockets one process has open.
func Descriptors(pid int) (int, error) {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(all), err
}

// Load is the machine's load average over the last minute.
func Load() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	return strconv.ParseFloat(first, 64)
}

// Slab is what the kernel holds in structures (sockets, files and all others),
// on the whole machine, in bytes.
func Slab() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("reading kernel memory: %w", err)
	}
	_, after, _ := strings.Cut(string(text), "\nSlab:")
	var kib int64
	if _, err := fmt.Sscanf(after, "%d kB", &kib); err != nil {
		return 0, fmt.Errorf("reading kernel memory: %w", err)
	}
	return kib << 10, nil
}
