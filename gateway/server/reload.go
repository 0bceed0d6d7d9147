package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/streamgateway/streamgateway/gateway/config"
	"github.com/streamgateway/streamgateway/gateway/report"
)

// reloader takes documents one by one: whole and valid, or not at all. What
// runs is swapped at once; a refused document leaves it alone and is reported.
type reloader struct {
	log           *slog.Logger
	apply         func(d config.Document, r config.Revision, standBy bool) // hands valid settings to the rooms
	pod, template string                                                   // who reads: both decide which revision of a document it runs, and whether it stands by
	// byHand says that no operator counts serials: a file may be edited and
	// keep its number.
	byHand bool

	mu      sync.Mutex
	text    []byte // of the running document
	running running
	nack    *report.Nack
	changed chan struct{} // closed at the next change of running or nack
}

// running is what runs of a document; serial 0 = none yet.
type running struct {
	serial   int64
	revision config.Revision
	unknown  []string // fields that this gateway does not know
}

const maxNackBytes = 2000 // it ends up in the status of the custom resource

// newReloader makes a reloader that runs nothing yet.
func newReloader(o *Options, apply func(config.Document, config.Revision, bool)) *reloader {
	return &reloader{
		log: o.Log, byHand: !o.Cluster, pod: o.Pod, template: o.TemplateHash, apply: apply, changed: make(chan struct{}),
	}
}

// take reads a document that has come by watch or file. It is called by one
// source at a time.
func (r *reloader) take(text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.text != nil && bytes.Equal(text, r.text) {
		return
	}
	document, unknown, err := config.Decode[config.Document](text)
	serial := r.running.serial
	switch {
	case document.Serial > 0 && document.Serial < serial && !r.byHand:
		return // an old copy, as a mount may hold
	case err == nil && document.Serial < serial:
		err = fmt.Errorf("serial: %d is below %d, which runs; count serial up", document.Serial, serial)
	case err == nil && document.Serial == serial && !r.byHand:
		err = fmt.Errorf("serial: %d runs already with another content; count serial up with every write", serial)
	case err == nil:
		err = document.ValidateFor(r.pod, r.template)
	}
	revision := document.For(r.pod, r.template)
	if err != nil {
		r.refuse(document.Serial, revision.Name, err)
		return
	}
	r.apply(document, revision, document.StandsBy(r.pod, r.template))
	r.text, r.running, r.nack = bytes.Clone(text), running{document.Serial, revision, unknown}, nil
	r.announce()
	r.log.Info("config runs", "serial", document.Serial, "revision", revision.Name, "unknownFields", unknown)
}

// refuse keeps the reason for the newest refused document. The same refusal
// again says nothing new.
func (r *reloader) refuse(serial int64, revision string, err error) {
	message := err.Error()
	if len(message) > maxNackBytes {
		message = message[:maxNackBytes] + "…"
	}
	if n := r.nack; n != nil && n.Serial == serial && n.Message == message {
		return
	}
	r.nack = &report.Nack{Serial: serial, Revision: revision, Message: message, Time: time.Now()}
	r.announce()
	r.log.Error("config refused; the one before runs on", "serial", serial, "revision", revision, "error", message)
}

// announce wakes who waits for a serial. It is called with mu held.
func (r *reloader) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// now is what runs and what was refused last.
func (r *reloader) now() (running, *report.Nack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running, r.nack
}

// ready tells whether any document runs.
func (r *reloader) ready() bool {
	now, _ := r.now()
	return now.serial > 0
}

// wait returns when this serial or a newer one runs or was refused, or when ctx
// ends.
func (r *reloader) wait(ctx context.Context, serial int64) {
	for {
		r.mu.Lock()
		answered := r.running.serial >= serial || r.nack != nil && r.nack.Serial >= serial
		changed := r.changed
		r.mu.Unlock()
		if answered {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
