package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/streamgateway/streamgateway/hack/demo/answer"
)

// started answers a request for an answer.
type started struct {
	ID      string `json:"id"`
	Channel string `json:"channel"` // that it is said on
}

// answer begins to say something about the revenues.
func (h *handler) answer(w http.ResponseWriter, r *http.Request) {
	if !h.authorized(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="finance"`)
		refuse(w, r, problem{Status: http.StatusUnauthorized, kind: "unauthenticated", Detail: "send Authorization: Bearer with the demo's token"})
		return
	}
	counts, err := h.Store.Count(r.Context())
	if err != nil {
		h.Log.Error("counting revenues", "error", err)
		refuse(w, r, problem{Status: http.StatusServiceUnavailable, kind: "storage", Detail: "the revenues cannot be counted; try again"})
		return
	}
	id := h.NewID()
	channel, err := h.Speaker.Start(h.Speaking, id, essay(counts.Revenues))
	if errors.Is(err, answer.ErrBusy) {
		w.Header().Set("Retry-After", "5")
		refuse(w, r, problem{Status: http.StatusServiceUnavailable, kind: "busy", Detail: "enough answers are being given; try again"})
		return
	}
	reply(w, http.StatusAccepted, started{ID: id, Channel: channel})
}

// cancel ends an answer. Who knows its id may.
func (h *handler) cancel(w http.ResponseWriter, r *http.Request) {
	if !h.Speaker.Cancel(r.PathValue("id")) {
		refuse(w, r, problem{Status: http.StatusNotFound, kind: "no-answer", Detail: "no such answer is being given"})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// essay is what a language model might say, were there one.
func essay(revenues int64) string {
	return fmt.Sprintf("So far %d revenues are in the ledger. ", revenues) + strings.Join([]string{
		"Each of them was written together with its event, in one transaction, so that neither is there without the other.",
		"The event went to the gateway, which keeps it once in its log and hands it to every page that reads the channel.",
		"This text took the same way, a word at a time: a page that keeps up sees every word, and one that does not gets",
		"several of them as one event, in the right order. Load this page again now, in the middle of the sentence: what was",
		"said before is read from the log, the rest goes on arriving, and no word is there twice. Open it in a second tab, and",
		"both show the same. Press Cancel, and the speaker stops; what was said stays. None of this needs a model: any text",
		"that grows does, the output of a build, a transcript, the steps of a long calculation. The words themselves were",
		"written by a person, and they are always the same; only the number at the beginning is news.",
	}, " ")
}
