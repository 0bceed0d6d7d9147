package fanout

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Member is somebody who reads a channel.
type Member struct {
	Subject string
	Streams int
	Since   time.Duration // that the oldest of these streams has been open
}

// Members lists who gets a channel's events, by name and at most so many, in
// O(streams that do). Streams without a subject are left out.
func (f *Fanout) Members(channel string, most int) (members []Member, more bool) {
	bySubject := map[string]Member{}
	for _, l := range f.loops {
		l.call(func() {
			for _, g := range l.routes.of(channel) {
				for _, s := range g.members {
					if s.id.Subject == "" {
						continue
					}
					m, known := bySubject[s.id.Subject]
					if !known && len(bySubject) >= most {
						more = true
						continue
					}
					m.Subject = s.id.Subject
					m.Streams++
					m.Since = max(m.Since, time.Duration(l.now-s.born))
					bySubject[m.Subject] = m
				}
			}
		})
	}
	members = slices.SortedFunc(maps.Values(bySubject), func(a, b Member) int { return cmp.Compare(a.Subject, b.Subject) })
	return members, more
}
