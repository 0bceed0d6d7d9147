package engine_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/wire"
)

var update = flag.Bool("update", false, "rewrite the expected lines of scripts")

// TestScripts runs testdata/*.txt: one command a line, and below it, behind
// "> ", what clients got by it and when. The commands are the cases of
// script.run.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runScript(t, file) })
		})
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{T: t, start: time.Now(), clients: map[string]*client{}, shut: map[string]bool{}, drained: make(chan string, 1)}
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "> ") {
			continue
		}
		got.WriteString(line)
		if command := strings.Fields(line); len(command) > 0 && command[0] != "#" {
			s.rest(command)
			synctest.Wait()
			for _, seen := range s.news() {
				got.WriteString("> " + seen + "\n")
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(text); got.String() != want {
		t.Errorf("%s: run with -update and read the difference; got:\n%s", file, got.String())
	}
}

// script is one run.
type script struct {
	*testing.T
	rig     *rig
	start   time.Time
	clients map[string]*client
	shut    map[string]bool // clients whose end has been shown
	tuning  engine.Tuning
	shown   []string
	drained chan string
}

func (s *script) rest(command []string) {
	if s.rig == nil {
		s.tuning = tuning()
		if command[0] == "tune" {
			s.tune(command[1:])
		}
		s.rig = newRig(s.T, 1, func(t *engine.Tuning) { *t = s.tuning })
		if command[0] == "tune" {
			return
		}
	}
	s.run(command[0], command[1:])
}

func (s *script) run(verb string, args []string) {
	switch verb {
	case "tune": // tune Group.Field=value…
		s.tune(args)
		s.rig.Tune(s.tuning)
	case "open": // open client channels=… [cursor=…] [last=n] [format=…] [pad=1] [sip=1]
		s.open(args[0], args[1:])
	case "publish": // publish channel data…: one append
		s.rig.publish(args[0], args[1:]...)
	case "flush": // flush channel data: an event that wants to be written at once
		s.rig.append(wire.Event{Channel: args[0], Data: []byte(args[1]), Flush: true})
	case "fill": // fill channel n bytes: n events of so many bytes, each appended alone
		for range s.number(args[1]) {
			s.rig.publish(args[0], `"`+strings.Repeat("x", s.number(args[2]))+`"`)
		}
	case "advance":
		time.Sleep(s.duration(args[0]))
	case "block":
		s.clients[args[0]].block()
	case "unblock":
		s.clients[args[0]].unblock()
	case "sip": // take one write; clients opened with sip=1 do so from the start
		s.clients[args[0]].sip()
	case "fail":
		s.clients[args[0]].stream.Fail()
	case "leave":
		s.clients[args[0]].stream.Leave()
	case "evict":
		s.rig.Evict()
	case "flags": // flags revision name=true…; off=true ends streams
		s.flags(args)
	case "drain": // drain reason spread timeout
		d := engine.Drain{Reason: args[0], Spread: s.duration(args[1]), Timeout: s.duration(args[2])}
		go func() {
			err := s.rig.Drain(context.Background(), d)
			s.drained <- fmt.Sprintf("%s drained %v", time.Since(s.start), err)
		}()
	case "standby": // standby [reason spread timeout]: none ends it
		var d *engine.Drain
		if len(args) > 0 {
			d = &engine.Drain{Reason: args[0], Spread: s.duration(args[1]), Timeout: s.duration(args[2])}
		}
		s.rig.StandBy(d)
	case "stats": // stats Group.Field…
		stats := reflect.ValueOf(s.rig.Stats().Stats)
		for _, path := range args {
			v := stats
			for name := range strings.SplitSeq(path, ".") {
				v = v.FieldByName(name)
			}
			s.shown = append(s.shown, fmt.Sprintf("%s=%v", path, v))
		}
	default:
		s.Fatalf("unknown command %s", verb)
	}
}

func (s *script) open(name string, args []string) {
	q := engine.Request{Identity: engine.Identity{SID: "s." + name}}
	c := &client{}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		switch key {
		case "channels":
			q.Subs = subs(s, strings.Split(value, ",")...)
		case "cursor":
			q.Position, err = wire.ParsePosition("", strings.Replace(value, "E.", epoch+".", 1))
		case "header":
			q.Position, err = wire.ParsePosition(strings.Replace(value, "E.", epoch+".", 1), "")
		case "last":
			q.Last = s.number(value)
		case "format":
			q.Format, err = wire.ParseFormat(value)
		case "pad":
			q.Pad = true
		case "sip":
			c.set(func(n int) (int, bool) { return n, true })
		default:
			s.Fatalf("unknown argument %s", arg)
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	stream, err := s.rig.Open(q)
	if err != nil {
		s.shown = append(s.shown, fmt.Sprintf("%s refused: %v", name, err))
		return
	}
	s.clients[name], c.stream = c, stream
	stream.Start(c)
}

// tune sets Group.Field=value for groups and fields of engine.Tuning.
func (s *script) tune(args []string) {
	for _, arg := range args {
		path, value, _ := strings.Cut(arg, "=")
		f := reflect.ValueOf(&s.tuning).Elem()
		for name := range strings.SplitSeq(path, ".") {
			if f = f.FieldByName(name); !f.IsValid() {
				s.Fatalf("unknown knob %s", path)
			}
		}
		switch {
		case f.Type() == reflect.TypeFor[time.Duration]():
			f.SetInt(int64(s.duration(value)))
		case f.Kind() == reflect.String:
			f.SetString(value)
		default:
			f.SetInt(int64(s.number(value)))
		}
	}
}

func (s *script) flags(args []string) {
	values := map[string]bool{}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		values[name] = value == "true"
	}
	var end *wire.End
	if values["off"] {
		end = &wire.End{Reason: wire.EndFlagOff, Status: 503}
	}
	s.rig.Flags(engine.Flags{
		Revision: int64(s.number(args[0])),
		Of:       func(engine.Identity) (map[string]bool, *wire.End) { return values, end },
	})
}

// news gives what came since the last call, by time, then by client.
func (s *script) news() []string {
	type item struct {
		at   time.Duration
		text string
	}
	var items []item
	for _, name := range sortedNames(s.clients) {
		c := s.clients[name]
		for _, f := range c.got() {
			if f.retry != "" && f.event == "" {
				continue // drawn at random; its bounds have a test of their own
			}
			items = append(items, item{f.at.Sub(s.start), name + " " + s.render(f)})
		}
		if at := c.closedAt(); !at.IsZero() && !s.shut[name] {
			s.shut[name] = true
			items = append(items, item{at.Sub(s.start), name + " closed"})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return int(a.at - b.at) })
	select {
	case line := <-s.drained:
		s.shown = append(s.shown, line)
	default:
	}
	lines := s.shown
	s.shown = nil
	for _, i := range items {
		lines = append(lines, fmt.Sprintf("%s %s", i.at, i.text))
	}
	return lines
}

func sortedNames(m map[string]*client) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// render shortens a frame to what scripts are about.
func (s *script) render(f frame) string {
	id := strings.TrimPrefix(f.id, epoch+".")
	if id != "" {
		id = " id=" + id
	}
	data := strings.ReplaceAll(f.data, epoch+".", "")
	if len(data) > 300 {
		data = fmt.Sprintf("%s… %d bytes", data[:60], len(data))
	}
	switch {
	case f.comment != "" && strings.TrimSpace(f.comment) == "":
		return fmt.Sprintf("pad of %d spaces", len(f.comment)+1)
	case f.comment != "":
		return "heartbeat" + id
	case f.event == "sg.cp":
		return "checkpoint" + id
	case f.event == wire.ControlOpen:
		var open wire.Open
		if err := json.Unmarshal([]byte(f.data), &open); err != nil {
			s.Fatal(err)
		}
		return fmt.Sprintf("open %s cursor=%s%s", open.Resume, strings.TrimPrefix(open.Cursor, epoch+"."), id)
	case f.event == wire.ControlEnd:
		var end wire.End
		if err := json.Unmarshal([]byte(f.data), &end); err != nil {
			s.Fatal(err)
		}
		return fmt.Sprintf("end %s status=%d comeBack=%v", end.Reason, end.Status, end.RetryMs != nil)
	case f.event != "":
		return strings.TrimPrefix(f.event, "sg.") + id + " " + data
	case f.sg != "":
		channel, _, _ := strings.Cut(f.sg, " ")
		return channel + id + " " + data
	}
	return "data" + id + " " + data
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.Fatal(err)
	}
	return d
}
