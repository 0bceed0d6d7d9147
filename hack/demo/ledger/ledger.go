// Package ledger keeps revenues in a SQLite database, together with the events
// that tell of them: a revenue and its event are stored in one transaction (a
// transactional outbox), so that neither can exist without the other, whenever
// the process dies.
//
// It knows nothing of HTTP or of a gateway. Package web records revenues,
// package relay takes the events out again, in the order of their commits.
package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite", written in Go
)

// Channel, Type and Source name the event of a stored revenue.
const (
	Channel = "finance.revenue"
	Type    = "finance.revenue.created"
	Source  = "/finance"
)

const schema = `
CREATE TABLE IF NOT EXISTS revenue (
	id          TEXT PRIMARY KEY,
	property_id INTEGER NOT NULL,
	amount      INTEGER NOT NULL,
	created_ms  INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
	position INTEGER PRIMARY KEY AUTOINCREMENT,
	event    BLOB NOT NULL,
	refused  TEXT
) STRICT;`

// Revenue is what a property earned. Its JSON is the data of the event.
type Revenue struct {
	ID         string `json:"id"`
	Amount     int64  `json:"amount"` // in the smallest unit of the currency
	PropertyID int64  `json:"propertyId"`
	CreatedMs  int64  `json:"createdMs"` // Unix milliseconds, just before the commit
}

// Event is one row of the outbox. Body is a CloudEvent as structured JSON,
// frozen at the commit: every repeat carries the same bytes.
type Event struct {
	Position int64
	Body     []byte
}

// cloudEvent is the structured JSON form, with the gateway's attribute channel.
type cloudEvent struct {
	SpecVersion string  `json:"specversion"`
	ID          string  `json:"id"`
	Source      string  `json:"source"`
	Type        string  `json:"type"`
	Channel     string  `json:"channel"`
	Time        string  `json:"time"`
	ContentType string  `json:"datacontenttype"`
	Data        Revenue `json:"data"`
}

// Ledger is safe for concurrent use.
type Ledger struct {
	db        *sql.DB
	committed chan struct{}
}

// Open opens the database file at path and makes it when it is absent.
func Open(ctx context.Context, path string) (*Ledger, error) {
	// Full synchronous: a revenue that was answered with 201 outlives the machine.
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; queueing here is fairer than its busy loop
	if _, err := db.ExecContext(ctx, schema); err != nil {
		_ = db.Close() // the first error tells more
		return nil, fmt.Errorf("preparing ledger %s: %w", path, err)
	}
	return &Ledger{db: db, committed: make(chan struct{}, 1)}, nil
}

// Close ends the use of the database.
func (l *Ledger) Close() error { return l.db.Close() }

// Committed receives a value after commits. Several commits may share one.
func (l *Ledger) Committed() <-chan struct{} { return l.committed }

// Record stores a revenue and its event in one transaction.
func (l *Ledger) Record(ctx context.Context, r Revenue) error {
	event, err := json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: r.ID, Source: Source, Type: Type, Channel: Channel,
		Time:        time.UnixMilli(r.CreatedMs).UTC().Format(time.RFC3339Nano),
		ContentType: "application/json", Data: r,
	})
	if err != nil {
		return fmt.Errorf("encoding event of revenue %s: %w", r.ID, err)
	}
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("storing revenue: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it only says that it came too late
	if _, err := tx.ExecContext(ctx, `INSERT INTO revenue (id, property_id, amount, created_ms) VALUES (?, ?, ?, ?)`,
		r.ID, r.PropertyID, r.Amount, r.CreatedMs); err != nil {
		return fmt.Errorf("storing revenue: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (event) VALUES (?)`, event); err != nil {
		return fmt.Errorf("storing event of revenue: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing revenue: %w", err)
	}
	select {
	case l.committed <- struct{}{}:
	default: // a wake-up is waiting already
	}
	return nil
}

// Pending returns up to limit events that still have to be delivered, oldest first.
func (l *Ledger) Pending(ctx context.Context, limit int) ([]Event, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT position, event FROM outbox WHERE refused IS NULL ORDER BY position LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("reading outbox: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err below reports what matters
	var events []Event
	for rows.Next() {
		var e Event
		if err := rows.Scan(&e.Position, &e.Body); err != nil {
			return nil, fmt.Errorf("reading outbox: %w", err)
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading outbox: %w", err)
	}
	return events, nil
}

// Delivered takes the events from first to last, both included, out of the outbox.
func (l *Ledger) Delivered(ctx context.Context, first, last int64) error {
	if _, err := l.db.ExecContext(ctx, `DELETE FROM outbox WHERE position BETWEEN ? AND ? AND refused IS NULL`, first, last); err != nil {
		return fmt.Errorf("clearing outbox: %w", err)
	}
	return nil
}

// Refused sets an event aside that the gateway will never take, with the
// gateway's reason, so that those behind it can go on.
func (l *Ledger) Refused(ctx context.Context, position int64, reason string) error {
	if _, err := l.db.ExecContext(ctx, `UPDATE outbox SET refused = ? WHERE position = ?`, reason, position); err != nil {
		return fmt.Errorf("setting event aside: %w", err)
	}
	return nil
}

// Counts tells the state of the ledger: revenues stored, events waiting,
// events refused.
type Counts struct {
	Revenues int64 `json:"revenues"`
	Waiting  int64 `json:"waiting"`
	Refused  int64 `json:"refused"`
}

// Count reads the counts. It doubles as the check that the database answers.
func (l *Ledger) Count(ctx context.Context) (Counts, error) {
	var c Counts
	err := l.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM revenue), count(*) - count(refused), count(refused) FROM outbox`).
		Scan(&c.Revenues, &c.Waiting, &c.Refused)
	if err != nil {
		return Counts{}, fmt.Errorf("counting ledger: %w", err)
	}
	return c, nil
}
