package noloss

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// loss is what a gateway said about events it did not deliver. Only what is said
// in one of these forms excuses an event that did not come.
type loss struct {
	cause    string // "reset" or "gap"
	channels []string
	all      bool
	epoch    string
	age      int    // of the epoch; a reset also covers every older epoch
	after    uint64 // a gap's start
	upto     uint64
	// hole is when a reset came that says that another log may have taken events
	// until then; zero = it says nothing of other logs but those of before.
	hole time.Time
}

// readReset reads the data of sg.reset, which came at a time.
func readReset(data string, came time.Time, b *book) (loss, error) {
	var in struct {
		Reason   string
		Channels []struct{ Channel string }
		All      bool
		ResumeAt string
	}
	if err := json.Unmarshal([]byte(data), &in); err != nil {
		return loss{}, fmt.Errorf("reading sg.reset: %w", err)
	}
	at, err := ParseCursor(in.ResumeAt)
	if err != nil {
		return loss{}, fmt.Errorf("reading sg.reset: %w", err)
	}
	l := loss{cause: "reset", all: in.All, epoch: at.Epoch, age: b.age(at.Epoch), upto: at.Seq}
	if in.Reason == "log-hole" {
		l.hole = came
	}
	for _, c := range in.Channels {
		l.channels = append(l.channels, c.Channel)
	}
	return l, nil
}

// gapCount is the number of lost events that a gap gives for a channel.
type gapCount struct {
	channel string
	lost    *int
}

// readGap reads the data of sg.gap.
func readGap(data string, b *book) (loss, []gapCount, error) {
	var in struct {
		After, Upto string
		Channels    []struct {
			Channel string
			Lost    *int
		}
	}
	if err := json.Unmarshal([]byte(data), &in); err != nil {
		return loss{}, nil, fmt.Errorf("reading sg.gap: %w", err)
	}
	after, err1 := ParseCursor(in.After)
	upto, err2 := ParseCursor(in.Upto)
	if err1 != nil || err2 != nil || after.Epoch != upto.Epoch || after.Seq >= upto.Seq {
		return loss{}, nil, fmt.Errorf("reading sg.gap: from %q to %q", in.After, in.Upto)
	}
	l := loss{cause: "gap", epoch: upto.Epoch, age: b.age(upto.Epoch), after: after.Seq, upto: upto.Seq}
	var counts []gapCount
	for _, c := range in.Channels {
		l.channels = append(l.channels, c.Channel)
		counts = append(counts, gapCount{c.Channel, c.Lost})
	}
	return l, counts, nil
}

// excuses tells whether the loss names a published event. age is that of its
// position's epoch. A hole names what other logs were sent before it was told, too.
func (l loss) excuses(x entry, age int) bool {
	if l.covers(x.channel, x.cursor, age) {
		return true
	}
	return x.cursor.Epoch != l.epoch && x.sent.Before(l.hole) && l.names(x.channel)
}

// names tells whether the loss is one of a channel.
func (l loss) names(channel string) bool {
	return l.all || slices.ContainsFunc(l.channels, func(c string) bool { return matches(c, channel) })
}

// covers tells whether the loss names an event of this channel and position.
// age is that of the position's epoch.
func (l loss) covers(channel string, at Cursor, age int) bool {
	named := l.names(channel)
	if at.Epoch == l.epoch {
		return named && at.Seq > l.after && at.Seq <= l.upto
	}
	return named && l.cause == "reset" && age < l.age
}
