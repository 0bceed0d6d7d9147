package fanout

// timer is the one deadline of a stream or of a group. A deadline may be early
// (its owner looks again and sets the next), but never late.
type timer struct {
	at     int64 // nanoseconds since Fanout.start
	pos    int32 // place in the heap + 1; 0 = not set
	stream *Stream
	group  *group
}

// timers is a binary heap. The standard one takes two interface calls per
// step, and a stream's timer is set for every connection.
type timers []*timer

// set makes t fire at this time, or moves it there.
func (h *timers) set(t *timer, at int64) {
	if t.pos == 0 {
		*h = append(*h, t)
		t.pos = int32(len(*h))
	}
	t.at = at
	h.up(int(t.pos) - 1)
	h.down(int(t.pos) - 1)
}

// sooner moves t to this time unless it fires before.
func (h *timers) sooner(t *timer, at int64) {
	if t.pos == 0 || at < t.at {
		h.set(t, at)
	}
}

// clear makes t not fire.
func (h *timers) clear(t *timer) {
	if t.pos == 0 {
		return
	}
	i, last := int(t.pos)-1, len(*h)-1
	t.pos = 0
	moved := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	if i == last {
		return
	}
	h.put(i, moved)
	h.up(i)
	h.down(int(moved.pos) - 1)
}

// due gives the next timer if it fires by now, and clears it.
func (h *timers) due(now int64) *timer {
	if len(*h) == 0 || (*h)[0].at > now {
		return nil
	}
	t := (*h)[0]
	h.clear(t)
	return t
}

func (h timers) put(i int, t *timer) {
	h[i] = t
	t.pos = int32(i) + 1
}

func (h timers) up(i int) {
	t := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].at <= t.at {
			break
		}
		h.put(i, h[parent])
		i = parent
	}
	h.put(i, t)
}

func (h timers) down(i int) {
	t := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if right := child + 1; right < len(h) && h[right].at < h[child].at {
			child = right
		}
		if h[child].at >= t.at {
			break
		}
		h.put(i, h[child])
		i = child
	}
	h.put(i, t)
}
