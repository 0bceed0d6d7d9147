package wire

import "strconv"

// Coalescing says whether an event may be delivered in one piece with its
// neighbours. The log keeps the parts.
type Coalescing uint8

// The ways of coalescing.
const (
	Apart  Coalescing = iota
	Concat            // strings and texts are joined
	Newest            // the newest stands for all
)

// maxCoalescedBytes bounds the data of one merged event, as it stands in JSON.
const maxCoalescedBytes = 64 << 10

// Coalesce merges parts that belong together: neighbours in their channel with
// the same key, way, type and kind. A merged event has the seq, id and time of
// its last part and stands in its place, so a reader's position stays true. A
// batch without such parts is given back as it is.
func Coalesce(batch []Element) []Element {
	some := 0
	for i := range batch {
		if batch[i].Coalesce != Apart {
			some++
		}
	}
	if some < 2 {
		return batch
	}
	runs, of := gather(batch)
	merged := make([]Element, 0, len(runs))
	for i := range batch {
		run := runs[of[i]]
		switch {
		case run[len(run)-1] != i: // a later part stands for it
		case len(run) == 1:
			merged = append(merged, batch[i])
		default:
			merged = append(merged, merge(batch, run))
		}
	}
	return merged
}

// gather lists the parts of each run, and tells for each event its run.
func gather(batch []Element) (runs [][]int, of []int) {
	of = make([]int, len(batch))
	open := map[string]int{} // the newest run of each channel
	bytes := []int{}
	for i := range batch {
		e := &batch[i]
		r, ok := open[e.Channel]
		if ok && bytes[r]+len(e.Data) <= maxCoalescedBytes && joins(&batch[runs[r][len(runs[r])-1]], e) {
			runs[r] = append(runs[r], i)
			bytes[r] += len(e.Data)
		} else {
			r = len(runs)
			runs, bytes = append(runs, []int{i}), append(bytes, len(e.Data))
			open[e.Channel] = r
		}
		of[i] = r
	}
	return runs, of
}

func joins(a, b *Element) bool {
	if b.Coalesce == Apart || a.Coalesce != b.Coalesce || a.Kind != b.Kind || string(a.Key) != string(b.Key) || string(a.Type) != string(b.Type) {
		return false
	}
	return b.Coalesce == Newest || a.Kind != Binary && a.Data[0] == '"' && b.Data[0] == '"'
}

func merge(batch []Element, run []int) Element {
	e := batch[run[len(run)-1]]
	size := len(e.JSON) + 64
	for _, i := range run[:len(run)-1] {
		size += len(batch[i].Data)
	}
	json := append(make([]byte, 0, size), e.JSON[:len(e.JSON)-1-len(e.Data)]...)
	from := len(json)
	if e.Coalesce == Concat {
		json = append(json, '"')
		for _, i := range run {
			data := batch[i].Data
			json = append(json, data[1:len(data)-1]...)
		}
		json = append(json, '"')
	} else {
		json = append(json, e.Data...)
	}
	to := len(json)
	e.Parts = len(run)
	json = append(json, `,"n":`...)
	json = strconv.AppendInt(json, int64(e.Parts), 10)
	json = append(json, `,"first":`...)
	json = strconv.AppendUint(json, batch[run[0]].Seq, 10)
	json = append(json, '}')
	e.Data, e.JSON = json[from:to], json
	return e
}
