package server

import (
	"runtime"

	"github.com/streamgateway/streamgateway/gateway/engine"
	"github.com/streamgateway/streamgateway/gateway/engine/fanout"
)

// stage is how short memory is. Each does what those before it do, and costs
// clients more: time, a connection that must come back, one that is not let in,
// the past.
type stage int32

const (
	stageCalm    stage = iota
	stageTrim          // less is kept for streams that are behind
	stageCut           // fewer stalled clients may hold half-written blocks
	stageRefuse        // no new streams
	stageForget        // events go before their time, and status says so
	stageHighest = stageForget
)

// relief is how many percent of the budget below its beginning a stage ends, so
// that a pod does not flap.
const relief = 5

// beginsAt is the share of the budget, in percent, at which a stage begins.
func (s stage) beginsAt() int64 {
	switch s {
	case stageCalm:
		return 0
	case stageTrim:
		return 75
	case stageCut:
		return 82
	case stageRefuse:
		return 90
	}
	return 95
}

// after is the stage that follows from a total, in bytes of a budget.
func (s stage) after(total, budget int64) stage {
	percent := budget / 100
	for s < stageHighest && total >= percent*(s+1).beginsAt() {
		s++
	}
	for s > stageCalm && total < percent*(s.beginsAt()-relief) {
		s--
	}
	return s
}

const (
	trimmedSegments = 4 << 20  // bytes
	fewerPinned     = 16 << 20 // bytes
	// forgetTo is the share of the budget, in percent, that events leave.
	forgetTo = 92
	// leastLog is what the log keeps in any case, in bytes.
	leastLog = 1 << 20
)

// memoryAt is what the engine may keep in a stage. log is what its log was bound
// to before, 0 = not.
func memoryAt(s stage, u usage, budget, log int64) engine.Memory {
	m := engine.Memory{Memory: fanout.DefaultMemory()}
	if s >= stageTrim {
		m.Segments = trimmedSegments
	}
	if s >= stageCut {
		m.Pinned = fewerPinned
	}
	switch {
	case s >= stageForget:
		m.Log = max(u.ring-(u.total()-budget/100*forgetTo), leastLog)
	case s == stageRefuse:
		m.Log = log // still hardly any room
	}
	return m
}

// weigh compares what is used with what there is and gives memory back in the
// order of what it costs clients. Streams that are open go on.
func (s *Server) weigh() {
	if streams, _, _ := s.streams.Counts(); s.memory.crowd.over(streams) {
		runtime.GC()
	}
	before, pressed := s.memory.stage(), s.pressed
	now := s.memory.take(s.engine.LogStats().Bytes, s.engine.SegmentBytes(), int64(s.keys()))
	megabytes := 0
	if now >= stageRefuse {
		megabytes = int(max(s.memory.budget>>20, 1))
	}
	s.streams.Full(megabytes)
	s.pressed = memoryAt(now, *s.memory.last.Load(), s.memory.budget, pressed.Log)
	if s.pressed != pressed {
		s.engine.Press(s.pressed)
	}
	if now >= stageForget {
		runtime.GC() // what went is garbage, which would be taken for use
	}
	if now != before {
		s.log.Warn("memory", "trimming", now >= stageTrim, "cuttingStalled", now >= stageCut, "refusingStreams", now >= stageRefuse,
			"forgettingEvents", now >= stageForget, "usedBytes", s.memory.last.Load().total(), "budgetBytes", s.memory.budget)
	}
}
