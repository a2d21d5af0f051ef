package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flawless-engine/flawless/internal/store"
)

// recover makes a new connection, and finds out whether the statement that was sent last has taken effect and which of
// its batches failed. When it returns, that cannot change any more. It tries until it succeeds, and returns an error only
// if nobody waits any more or acknowledged writes are gone.
func (l *lane) recover() (took bool, failed []int32, err error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if l.db.stopped.Err() != nil {
			return false, nil, l.db.given()
		}
		took, failed, err = l.tryRecover()
		if err == nil {
			if l.db.away.Swap(false) {
				l.db.log.Info("the database is back")
			}
			l.sent = false
			return took, failed, nil
		}
		l.disconnect()
		if errors.Is(err, Lost) {
			return false, nil, l.db.fail(err)
		}
		if !l.db.away.Swap(true) {
			l.db.log.Error("the database cannot be used, waiting for it", "error", err)
		}
		if err := l.sleep(pause/2 + rand.N(pause)); err != nil {
			return false, nil, err
		}
	}
}

func (l *lane) tryRecover() (took bool, failed []int32, err error) {
	if l.conn != nil {
		l.disconnect()
	}
	ctx, cancel := context.WithTimeout(l.db.stopped, l.db.o.Patience)
	conn, err := l.db.connect(ctx, l.notice)
	cancel()
	if err != nil {
		return false, nil, err
	}
	l.conn, l.local, l.branch = conn, false, ""
	end := l.watch()
	defer end()
	defer l.unblock()()
	if err := l.db.verify(context.Background(), conn); err != nil {
		return false, nil, err
	}
	l.branch = l.db.branchOf(context.Background(), conn)
	// This waits for a statement that is being executed on the old connection. As soon as it is committed, statements
	// with the old generation do nothing, and an earlier commit is as durable as this one.
	l.highest++
	generation, n := l.highest, int64(0)
	err = conn.QueryRow(context.Background(), "UPDATE "+l.db.schema+".lanes SET generation = $3 WHERE node = $1 AND lane = $2 AND generation < $3 RETURNING n, failed", l.db.node, l.number, generation).Scan(&n, &failed)
	switch was := l.n.Load(); {
	case errors.Is(err, pgx.ErrNoRows) && l.db.o.Passing:
		if _, err := conn.Exec(context.Background(), "INSERT INTO "+l.db.schema+".lanes (node, lane, generation, n, failed) VALUES ($1, $2, $3, 0, '{}')", l.db.node, l.number, generation); err != nil {
			return false, nil, err
		}
		l.n.Store(0)
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil, l.db.lost("the row of lane %d is missing or was changed by somebody else", l.number)
	case err != nil:
		return false, nil, err
	case l.local:
		return false, nil, fmt.Errorf("the server has not waited for its standby")
	case n == was+1 && l.sent:
		if took = l.counts(func() { l.n.Store(n) }); !took {
			return false, nil, errMovedOn
		}
	case n != was && l.db.o.Passing:
		l.n.Store(n)
	case n != was:
		return false, nil, l.db.lost("lane %d is at write %d, but %d were acknowledged", l.number, n, was)
	}
	l.generation = generation
	return took, failed, nil
}

// unblock ends the server's process of the last statement, unless the returned function is called soon: a process that has
// executed a statement and waits for the end of the request holds the row of the lane until its connection breaks, which
// it may not notice for hours. A process that waits for anything else is left alone, above all one that waits for a
// standby: its transaction is committed.
func (l *lane) unblock() (done func()) {
	if l.process == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(l.db.stopped)
	var ended sync.WaitGroup
	ended.Go(func() {
		select {
		case <-time.After(l.db.o.Patience / 10):
		case <-ctx.Done():
			return
		}
		conn, err := l.db.connect(ctx, nil)
		if err != nil {
			return
		}
		_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2 AND wait_event = 'ClientRead'", int32(l.process), conn.Config().RuntimeParams["application_name"])
		if err != nil {
			l.db.log.Debug("ending a process of the database failed", "pid", l.process, "error", err)
		}
		_ = conn.Close(ctx)
	})
	return func() {
		cancel()
		ended.Wait()
	}
}

// verify returns [Lost] if the database has fewer writes than it has acknowledged. It is called for every new connection,
// since that may be one to another server, or to a restored database.
func (db *DB) verify(ctx context.Context, conn *pgx.Conn) error {
	if db.o.Passing {
		return db.followPrimary(ctx, conn, nil)
	}
	acknowledged := db.acknowledgedNow() // before the database is read
	rows, err := conn.Query(ctx, db.numbers(), db.node)
	if err != nil {
		return err
	}
	there := map[int32]int64{}
	var number int32
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&number, &n}, func() error { there[number] = n; return nil })
	if pg := new(pgconn.PgError); errors.As(err, &pg) && (pg.Code == noSuchTable || pg.Code == noSuchSchema) {
		return db.lost("its tables are gone")
	}
	if err != nil {
		return err
	}
	if err := db.compare(acknowledged, there); err != nil {
		return err
	}
	return db.followPrimary(ctx, conn, there)
}

// acknowledgedNow returns the numbers of the last acknowledged writes, by lane.
func (db *DB) acknowledgedNow() []int64 {
	numbers := make([]int64, len(db.lanes))
	for i, l := range db.lanes {
		numbers[i] = l.n.Load()
	}
	return numbers
}

// compare returns [Lost] if the database has fewer writes of a lane than were acknowledged.
func (db *DB) compare(acknowledged []int64, there map[int32]int64) error {
	for i, was := range acknowledged {
		if n, ok := there[int32(i)]; !ok || n < was {
			return db.lost("lane %d is at write %d, but %d were acknowledged", i, n, was)
		}
	}
	return nil
}

// lost returns the error for writes that are gone.
func (db *DB) lost(format string, args ...any) error {
	return fmt.Errorf("%s: %s. It was restored from a backup, or another server became the primary without the newest writes: %w", db.Where(), fmt.Sprintf(format, args...), Lost)
}

// mark notes in the database that it has lost writes. What is left of them is found out at the next start of this server,
// which compares the numbers. If another one starts, it knows at least that there is something to find out.
func (db *DB) mark(err error) {
	ctx, cancel := context.WithTimeout(context.Background(), db.o.grace)
	defer cancel()
	conn, failed := db.connect(ctx, nil)
	if failed == nil {
		failed = db.noteLoss(ctx, conn, store.Loss{Node: db.node, Found: time.Now().UTC(), Why: err.Error(), Older: db.memory == nil})
		failed = errors.Join(failed, conn.Close(ctx))
	}
	if failed != nil {
		db.log.Error("noting in the database that it has lost writes failed: start the next server in the same working directory", "error", failed)
	}
}
