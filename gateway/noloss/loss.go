package noloss

import (
	"encoding/json"
	"fmt"
	"slices"
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
}

// readReset reads the data of sg.reset.
func readReset(data string, b *book) (loss, error) {
	var in struct {
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

// covers tells whether the loss names an event of this channel and position.
// age is that of the position's epoch.
func (l loss) covers(channel string, at Cursor, age int) bool {
	named := l.all || slices.ContainsFunc(l.channels, func(c string) bool { return matches(c, channel) })
	if at.Epoch == l.epoch {
		return named && at.Seq > l.after && at.Seq <= l.upto
	}
	return named && l.cause == "reset" && age < l.age
}
