package fanout

// work is what still has to be written: a stream's next bytes, or a group's
// new block to its members.
type work struct {
	stream *Stream
	group  *group
}

// queue gives tenants their turns by deficit round robin: each may write about
// as much as the others, however many streams, groups or events it has. Work of
// one tenant is first in, first out.
type queue struct {
	lanes map[string]*lane // of tenants with a group in this loop
	turns []*lane          // of those that have work, in the order of their turns
	head  int              // of turns
}

// lane is the work of one tenant.
type lane struct {
	tenant string
	groups int // that use it
	list   []work
	head   int
	// credit is how many writes its turn still has. What a turn writes above
	// that is taken off the next one.
	credit int
	waits  bool // is in turns
}

// quantum is how many writes each turn of a tenant adds: those of one turn of
// the loop, so that what is alone is not parted.
const quantum = turn

// lane gives a tenant's, for a group that uses it until leave.
func (q *queue) lane(tenant string) *lane {
	n := q.lanes[tenant]
	if n == nil {
		n = &lane{tenant: tenant}
		q.lanes[tenant] = n
	}
	n.groups++
	return n
}

// leave gives a lane back. Its work, if any, is done as before.
func (q *queue) leave(n *lane) {
	if n.groups--; n.groups == 0 {
		delete(q.lanes, n.tenant)
	}
}

func (q *queue) empty() bool { return q.head == len(q.turns) }

func (q *queue) add(n *lane, w work) {
	n.list = append(n.list, w)
	if !n.waits {
		n.waits, n.credit = true, min(n.credit, 0)+quantum
		q.turns = append(q.turns, n)
	}
}

// take gives what is to be done next, and whose turn it is. It is followed by
// one spend.
func (q *queue) take() (work, *lane) {
	for q.turns[q.head].credit <= 0 {
		q.next(true)
	}
	n := q.turns[q.head]
	w := n.list[n.head]
	n.list[n.head] = work{}
	n.list, n.head = tidied(n.list, n.head+1)
	return w, n
}

// spend takes writes off a lane's turn.
func (q *queue) spend(n *lane, writes int) {
	n.credit -= writes
	if len(n.list) == 0 {
		q.next(false)
	}
}

// next ends the turn at hand; whoever comes again does so with a quantum more.
func (q *queue) next(again bool) {
	n := q.turns[q.head]
	q.turns[q.head] = nil
	q.turns, q.head = tidied(q.turns, q.head+1)
	if n.waits = again; again {
		n.credit += quantum
		q.turns = append(q.turns, n)
	}
}

// tidied moves what is left of a list to its beginning once half of it has been
// taken, so that a list that never gets empty does not grow.
func tidied[T any](list []T, head int) ([]T, int) {
	if 2*head < len(list) {
		return list, head
	}
	left := copy(list, list[head:])
	clear(list[left:])
	return list[:left], 0
}
