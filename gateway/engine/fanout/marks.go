package fanout

// arrival is when records became known in this pod.
type arrival struct {
	first, last uint64
	at          int64 // nanoseconds since Fanout.start
}

// maxMarks bounds marks; they reach back over twice the longest lag allowed.
const maxMarks = 1024

// marks remember when the log was where: sparsely, yet enough to tell how old
// the next event of a client is that is far behind.
type marks struct {
	ring [maxMarks]arrival
	head int // index of the oldest
	n    int
}

// add notes an arrival, unless the last one is too near for a memory that
// reaches back over twice this span.
func (m *marks) add(a arrival, span int64) {
	if m.n > 0 && a.at-m.get(m.n-1).at < 2*span/maxMarks {
		return
	}
	if m.n == maxMarks {
		m.head = (m.head + 1) % maxMarks
		m.n--
	}
	m.ring[(m.head+m.n)%maxMarks] = a
	m.n++
}

func (m *marks) get(i int) *arrival { return &m.ring[(m.head+i)%maxMarks] }

// at gives when the record seq arrived: exactly, or too early by the distance
// of two marks. For what is older than memory reaches it gives the oldest
// time known, 0 when there is none.
func (m *marks) at(seq uint64) int64 {
	low, high := 0, m.n // find the first mark that ends at seq or above
	for low < high {
		mid := (low + high) / 2
		if m.get(mid).last < seq {
			low = mid + 1
		} else {
			high = mid
		}
	}
	switch {
	case m.n == 0:
		return 0
	case low < m.n && m.get(low).first <= seq:
		return m.get(low).at
	}
	return m.get(max(low-1, 0)).at
}
