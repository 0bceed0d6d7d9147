package web

import (
	"encoding/json"
	"net/http"
)

// problem is a refusal as RFC 9457 problem details. Type is what a caller may
// branch on; the texts may change.
type problem struct {
	Type     string  `json:"type"`
	Title    string  `json:"title"`
	Status   int     `json:"status"`
	Detail   string  `json:"detail,omitempty"`
	Instance string  `json:"instance,omitempty"`
	Errors   []fault `json:"errors,omitempty"`

	kind string // last part of Type
}

// fault names one field that cannot be used.
type fault struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func refuse(w http.ResponseWriter, r *http.Request, p problem) {
	p.Type, p.Title, p.Instance = "urn:finance-demo:problem:"+p.kind, http.StatusText(p.Status), r.URL.Path
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a caller that left cannot be told
}
