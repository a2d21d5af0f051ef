package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// lane is a connection for writing, used by its own goroutine, and its row (node, lane) in the table lanes:
//
//	generation  that statements must have
//	n           number of the newest statement that has taken effect
//
// Statement n expects the row at n-1 and moves it to n, so it takes effect at most once. If its answer is lost, the lane
// makes a new connection and raises the generation: the statement has taken effect before, which n tells, or never will,
// even if its bytes still wait somewhere.
type lane struct {
	db     *DB
	number int32

	conn       *pgx.Conn // nil if it is lost
	generation int64     // of the row, unless conn is nil
	highest    int64     // highest generation that the lane has tried to set
	n          atomic.Int64
	process    uint32 // of the server, for the last connection on which a statement was sent
	sent       bool   // a statement was sent, and its outcome is unknown
	branch     string // which server it is connected to, see DB.Branch
	local      bool   // a commit was not waited for by the server: its standby may not have it
}

// errSilent is the reason for closing a connection on which a statement gets no answer.
var errSilent = errors.New("the server did not answer in time")

// errMovedOn is the error if a server answers that is not the primary any more, as far as another connection knows.
var errMovedOn = errors.New("the database has another primary")

// notice notes that the server has not waited for its standby, because somebody cancelled the wait.
func (l *lane) notice(_ *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" {
		l.local = true
	}
}

// disconnect closes the connection without cancelling what runs on it.
func (l *lane) disconnect() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // what was sent is known or will be asked for
	l.conn = nil
}

// serve writes batches until the queue is closed.
func (l *lane) serve() {
	for {
		// Let goroutines run that are about to write, so that more of them share a statement.
		runtime.Gosched()
		group := l.db.queue.take()
		if group == nil {
			return
		}
		l.write(group)
	}
}

// write writes the batches of a group, and answers them or puts them back.
func (l *lane) write(group []*batch) {
	for len(group) > 0 {
		failed, err := l.attempt(group)
		if err == nil {
			l.answer(group, failed)
			return
		}
		if l.sent {
			took, failed, err := l.recover()
			switch {
			case err != nil:
				l.answerAll(group, err)
				return
			case took:
				l.answer(group, failed)
				return
			}
			group = l.db.queue.wanted(group)
			continue
		}
		switch classify(err) {
		case transient, elsewhere:
			l.db.queue.putBack(group)
			return
		case noSpace:
			now := time.Now()
			l.db.fullSince.Store(&now)
			l.answerAll(group, fmt.Errorf("the database server has no disk space left: %s: %w", reason(err), flawless.Full))
			return
		default:
			if len(group) > 1 {
				l.split(group)
				return
			}
			l.answerAll(group, unwritable(err))
			return
		}
	}
}

// split writes the batches of a group one by one.
func (l *lane) split(group []*batch) {
	for _, p := range group {
		l.write([]*batch{p})
	}
}

// unwritable explains an error of one batch.
func unwritable(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == limitExceeded {
		return fmt.Errorf("the database refuses it: %s: %w", reason(err), flawless.TooLarge)
	}
	var code flawless.Code
	if errors.As(err, &code) || !errors.As(err, &pg) {
		return err
	}
	return fmt.Errorf("the database refuses it: %s", reason(err))
}

// answer answers the batches of a statement that has taken effect, except for those in failed.
func (l *lane) answer(group []*batch, failed []int32) {
	l.db.fullSince.Store(nil)
	n := l.n.Load()
	l.db.acknowledged(l.number, n)
	for _, p := range group {
		p.at = store.Position{Lane: int(l.number), N: n}
	}
	l.db.queue.answer(group, func(i int) error {
		if slices.Contains(failed, int32(i)) {
			return errFenced
		}
		return nil
	})
}

// errFenced answers a batch whose expectations do not hold.
var errFenced = fmt.Errorf("a key is not as expected: %w", flawless.Fenced)

func (l *lane) answerAll(group []*batch, err error) {
	l.db.queue.answer(group, func(int) error { return err })
}

// attempt sends a group as one statement. If it returns an error and sent is not set, the statement has not taken
// effect.
func (l *lane) attempt(group []*batch) (failed []int32, err error) {
	if l.conn != nil && l.branch != l.db.Branch() {
		l.disconnect()
	}
	if l.conn == nil {
		if _, _, err := l.recover(); err != nil {
			return nil, err
		}
	}
	args := assemble(group)
	list := args.list(append(make([]any, 0, 24), l.db.node, l.number, l.generation, l.n.Load()+1))
	l.local, l.sent, l.process = false, true, l.conn.PgConn().PID()
	failed, values, err := l.query(l.db.statement(args.shape), list)
	switch {
	case err == nil && (l.local || checkSettings(values) != nil):
		l.db.log.Error("the database has acknowledged a write without keeping it, asking again", "error", checkSettings(values))
		l.disconnect()
		return nil, errSilent
	case err == nil && !l.counts(func() { l.n.Add(1) }):
		l.disconnect()
		return nil, errMovedOn
	case err == nil:
		l.sent = false
		return failed, nil
	case classify(err) == unknown:
		l.disconnect()
	default:
		l.sent = false
		if classify(err) == elsewhere {
			l.disconnect()
		}
	}
	return nil, err
}

// errMoved is the error if the row of the lane is not where the lane left it.
var errMoved = errors.New("the lane has moved")

// query executes a statement, and closes the connection if there is no answer in time.
func (l *lane) query(sql string, args []any) (failed []int32, values []string, err error) {
	end := l.watch()
	defer end()
	rows, err := l.conn.Query(context.Background(), sql, args...)
	if err != nil {
		return nil, nil, err
	}
	found := false
	for rows.Next() {
		found = true
		values = make([]string, len(settings))
		to := []any{&failed}
		for i := range values {
			to = append(to, &values[i])
		}
		if err := rows.Scan(to...); err != nil {
			rows.Close()
			return nil, nil, err
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, errMoved
	}
	return failed, values, nil
}

// watch closes the connection when the answer takes too long, or nobody waits any more. The caller calls end
// afterwards.
func (l *lane) watch() (end func()) {
	conn := l.conn.PgConn().Conn()
	cut := func() { _ = conn.Close() }
	late := time.AfterFunc(l.db.o.Patience, cut)
	over := context.AfterFunc(l.db.stopped, cut)
	return func() {
		late.Stop()
		over()
	}
}

// sleep waits before an attempt, and returns an error if there is to be none.
func (l *lane) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-l.db.stopped.Done():
		return l.db.given()
	}
}

// given returns why nobody waits for the database any more.
func (db *DB) given() error {
	if err := db.Failed(); err != nil {
		return err
	}
	return errors.New("the server stopped while the database was away, so it is unknown whether the batch took effect")
}

// statement returns the text of the statement of a shape.
func (db *DB) statement(s shape) string {
	if text, ok := db.statements.Load(s); ok {
		return text.(string)
	}
	text := s.text(db.schema)
	db.statements.Store(s, text)
	return text
}
