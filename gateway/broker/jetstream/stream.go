package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/streamgateway/streamgateway/gateway/broker"
	"github.com/streamgateway/streamgateway/gateway/broker/keys"
)

// generationKey counts, in the stream's metadata, how often it lost events that
// had been acknowledged.
const generationKey = "streamgateway.io/generation"

const (
	replicas    = 3  // of a stream that is made here, where there is a cluster
	epochDigits = 10 // base 36, enough for 48 bits
)

// state is what the stream's leader says.
type state struct {
	info        *natsjs.StreamInfo
	epoch       string
	first, last uint64
}

func (l *Log) state(ctx context.Context) (state, error) {
	ctx, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	stream, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return state{}, fmt.Errorf("asking for stream %s: %w", l.name, err)
	}
	info := stream.CachedInfo()
	s := state{info: info, epoch: epochOf(info), last: info.State.LastSeq, first: max(info.State.FirstSeq, 1)}
	if info.State.Msgs == 0 {
		s.first = s.last + 1
	}
	if info.State.NumDeleted == 0 {
		return s, nil
	}
	// Somebody has deleted single messages. The log begins after the last of
	// them: what is before cannot be shown to be complete.
	info, err = stream.Info(ctx, natsjs.WithDeletedDetails(true))
	if err != nil {
		return state{}, fmt.Errorf("asking for deleted messages of stream %s: %w", l.name, err)
	}
	if len(info.State.Deleted) > 0 {
		s.first = max(s.first, slices.Max(info.State.Deleted)+1)
	}
	return s, nil
}

// epochOf names one life of one stream: another stream of the same name, and
// the same one after it lost events, have another.
func epochOf(info *natsjs.StreamInfo) string {
	sum := sha256.Sum256([]byte(info.Created.UTC().Format(time.RFC3339Nano) + " " + info.Config.Metadata[generationKey]))
	epoch := strconv.FormatUint(binary.BigEndian.Uint64(sum[:])>>16, 36)
	return strings.Repeat("0", epochDigits-len(epoch)) + epoch
}

// openStream finds the stream or makes it, and looks at what it promises.
func (l *Log) openStream(ctx context.Context) error {
	s, err := l.state(ctx)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		if err = l.makeStream(ctx); err == nil {
			s, err = l.state(ctx)
		}
	}
	if err != nil {
		return err
	}
	l.epoch = s.epoch
	l.reshape(s.info.Config)
	if err := l.options.judge(s.info.Config); err != nil {
		return fmt.Errorf("stream %s cannot be the log: %w", l.name, err)
	}
	return l.Retain(ctx, l.options.Retention)
}

// reshape takes over what acknowledgements of this stream mean.
func (l *Log) reshape(c natsjs.StreamConfig) {
	next := &shape{durability: broker.Memory, copies: c.Replicas}
	if c.Replicas >= replicas {
		next.durability = broker.Quorum
	}
	l.shape.Store(next)
}

// makeStream asks for three replicas, and for one where the server is alone.
// Two gateways may do this at once: the second one finds the first one's.
func (l *Log) makeStream(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	c := natsjs.StreamConfig{
		Name: l.name, Description: "Events of a StreamGateway",
		Subjects:  []string{l.options.subject(">")},
		Retention: natsjs.LimitsPolicy, Discard: natsjs.DiscardOld, Storage: natsjs.FileStorage, Replicas: replicas,
		MaxAge: l.options.Retention, Duplicates: keys.Span,
		AllowDirect: true, AllowAtomicPublish: true,
	}
	_, err := l.js.CreateStream(ctx, c)
	if codeOf(err) == codeNoCluster {
		c.Replicas = 1
		_, err = l.js.CreateStream(ctx, c)
	}
	switch {
	case err == nil:
		l.options.Log.Info("made a stream", "stream", l.name, "replicas", c.Replicas)
	case errors.Is(err, natsjs.ErrStreamNameAlreadyInUse):
	default:
		return fmt.Errorf("making stream %s: %w", l.name, err)
	}
	return nil
}

// codeNoCluster is the servers' answer to replicas where there is one server.
const codeNoCluster natsjs.ErrorCode = 10074

// judge tells what a stream that somebody else made has to have. Each fault says
// what to change.
func (o Options) judge(c natsjs.StreamConfig) error {
	var faults []error
	need := func(ok bool, what string) {
		if !ok {
			faults = append(faults, errors.New(what))
		}
	}
	subject := o.subject(">")
	need(slices.Contains(c.Subjects, subject), fmt.Sprintf("it takes %q; give it the subject %s", c.Subjects, subject))
	need(len(c.Subjects) == 1, fmt.Sprintf("it takes other subjects than %s too; give these a stream of their own", subject))
	need(c.Retention == natsjs.LimitsPolicy, fmt.Sprintf("its retention is %s, which removes what was read; make it anew with limits", c.Retention))
	need(c.Discard == natsjs.DiscardOld, "it refuses new events when it is full; set discard to old")
	need(c.Mirror == nil && len(c.Sources) == 0, "it copies another stream; use that one")
	need(c.SubjectTransform == nil, "it rewrites subjects; take its transform away")
	need(c.MaxMsgsPerSubject <= 0, "it keeps so many events of each channel only; set the maximum per subject to -1")
	need(!c.Sealed && !c.NoAck, "it takes nothing, or acknowledges nothing; make it anew")
	need(c.AllowDirect, "single events cannot be read from it; allow direct access")
	need(c.AllowAtomicPublish || c.Replicas == 1, "events of one request could be torn apart; allow atomic batches (servers since 2.12 do)")
	need(c.Duplicates >= keys.Span, fmt.Sprintf("it finds repeats for %s only; set its duplicate window to %s", c.Duplicates, keys.Span))
	return errors.Join(faults...)
}

// Retain makes the stream keep events for so long at least. It shortens nothing:
// another gateway may need it longer.
func (l *Log) Retain(ctx context.Context, age time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	stream, err := l.js.Stream(ctx, l.name)
	if err != nil {
		return fmt.Errorf("asking for stream %s: %w", l.name, err)
	}
	c := stream.CachedInfo().Config
	if c.MaxAge == 0 || c.MaxAge >= age {
		return nil
	}
	c.MaxAge = age
	if _, err := l.js.UpdateStream(ctx, c); err != nil {
		return fmt.Errorf("letting stream %s keep events for %s: %w", l.name, age, err)
	}
	return nil
}

// renew gives the stream another epoch, since it has lost acknowledged events:
// their numbers will be those of others. Gateways that find it out at the same
// time write the same.
func (l *Log) renew(ctx context.Context, s state) error {
	ctx, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	c := s.info.Config
	generation, _ := strconv.Atoi(c.Metadata[generationKey]) // absent and garbled are 0
	c.Metadata = maps.Clone(c.Metadata)
	if c.Metadata == nil {
		c.Metadata = map[string]string{}
	}
	c.Metadata[generationKey] = strconv.Itoa(generation + 1)
	if _, err := l.js.UpdateStream(ctx, c); err != nil {
		return fmt.Errorf("beginning a new epoch of stream %s: %w", l.name, err)
	}
	l.options.Log.Error("the stream has lost acknowledged events; a new epoch begins, and clients are told", "stream", l.name)
	return nil
}
