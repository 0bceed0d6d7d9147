package transport

import (
	"net/http"
	"time"

	"github.com/streamgateway/streamgateway/gateway/limit"
)

// How often who needs no credential may ask: a page takes the fastest of three
// answers when it begins. Where addresses do not tell clients apart, all of them
// share podRate.
func timeRate() limit.Rate { return limit.Rate{PerSecond: 5, Burst: 10} }
func podRate() limit.Rate  { return limit.Rate{PerSecond: 500, Burst: 500} }

// serveTime lets a client find the offset of its clock.
func (d *Doors) serveTime(w http.ResponseWriter, r *http.Request) {
	key, rate, scope := "", podRate(), limit.ScopePod
	if addressTold(r) {
		key, rate, scope = limit.Owner(clientAddress(r)).String(), timeRate(), limit.ScopeAddress
	}
	if wait := d.asked.Take(key, 1, rate); wait > 0 {
		Problem(w, r, http.StatusTooManyRequests, KindRateLimited, RetryAfter(wait),
			Limit("time-rate", int64(rate.PerSecond), scope), Detail("the time is asked for too often"))
		return
	}
	writeJSON(w, struct {
		T int64 `json:"t"` // milliseconds since 1970
	}{time.Now().UnixMilli()})
}

// RateLimited counts requests that came too fast, since the start.
func (d *Doors) RateLimited() uint64 { return d.asked.Refused() }

// Sweep forgets addresses that asked for nothing lately. It is called once a
// second.
func (d *Doors) Sweep() { d.asked.Sweep() }
