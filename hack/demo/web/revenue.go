package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/streamgateway/streamgateway/hack/demo/ledger"
)

const (
	bodyBytes  = 4 << 10
	maxAmount  = 1_000_000_000_000 // smallest units of the currency; exact in a browser's numbers
	maxID      = 1 << 53           // of a property, for the same reason
	bearer     = "Bearer "
	createdUse = "send {\"amount\": 10000, \"propertyId\": 1}"
)

// created answers a stored revenue. CommittedMs is the demo's clock just after
// the commit: what the event's arrival is measured against.
type created struct {
	ledger.Revenue
	CommittedMs int64 `json:"committedMs"`
}

func (h *handler) revenue(w http.ResponseWriter, r *http.Request) {
	if !h.authorized(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="finance"`)
		refuse(w, r, problem{Status: http.StatusUnauthorized, kind: "unauthenticated", Detail: "send Authorization: Bearer with the demo's token"})
		return
	}
	in, p := decode(w, r)
	if p != nil {
		refuse(w, r, *p)
		return
	}
	in.ID, in.CreatedMs = h.NewID(), time.Now().UnixMilli()
	if err := h.Store.Record(r.Context(), in); err != nil {
		h.Log.Error("storing revenue", "id", in.ID, "error", err)
		refuse(w, r, problem{Status: http.StatusServiceUnavailable, kind: "storage", Detail: "the revenue was not stored; try again"})
		return
	}
	reply(w, http.StatusCreated, created{Revenue: in, CommittedMs: time.Now().UnixMilli()})
}

// authorized compares digests, in constant time: neither the token's text nor
// its length shows in how long the answer takes.
func (h *handler) authorized(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), bearer)
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(h.Token))
	return ok && h.Token != "" && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// decode reads the body of a new revenue, or says what is wrong with it.
func decode(w http.ResponseWriter, r *http.Request) (ledger.Revenue, *problem) {
	none := ledger.Revenue{}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return none, &problem{Status: http.StatusUnsupportedMediaType, kind: "unsupported-media-type", Detail: "send Content-Type: application/json"}
	}
	var in struct {
		Amount     *int64 `json:"amount"`
		PropertyID *int64 `json:"propertyId"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyBytes))
	d.DisallowUnknownFields()
	err := d.Decode(&in)
	if err == nil && !errors.Is(d.Decode(&struct{}{}), io.EOF) {
		err = errors.New("more than one JSON value")
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return none, &problem{Status: http.StatusRequestEntityTooLarge, kind: "too-large", Detail: fmt.Sprintf("a body may have %d bytes", bodyBytes)}
	}
	if err != nil {
		return none, &problem{Status: http.StatusBadRequest, kind: "invalid-json", Detail: err.Error() + "; " + createdUse}
	}
	var faults []fault
	faults = check(faults, "amount", in.Amount, maxAmount)
	faults = check(faults, "propertyId", in.PropertyID, maxID)
	if len(faults) > 0 {
		return none, &problem{Status: http.StatusUnprocessableEntity, kind: "invalid-revenue", Detail: createdUse, Errors: faults}
	}
	return ledger.Revenue{Amount: *in.Amount, PropertyID: *in.PropertyID}, nil
}

func check(faults []fault, field string, value *int64, limit int64) []fault {
	switch {
	case value == nil:
		return append(faults, fault{field, "is missing"})
	case *value < 1 || *value > limit:
		return append(faults, fault{field, fmt.Sprintf("must be from 1 to %d", limit)})
	}
	return faults
}
