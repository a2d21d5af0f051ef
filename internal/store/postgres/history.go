package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flawless-engine/flawless/internal/store"
)

// Memory is what a server remembers outside of the database of what it has written there. With it, the lanes of a server go
// on with the next start, so that a loss is noticed then, too. Its methods may be called concurrently.
type Memory interface {
	// ID returns a random id of the memory.
	ID() string
	// Acknowledged returns, by lane, the number of the last write that was acknowledged before the memory was opened.
	Acknowledged() []int64
	// Continue says from which numbers the lanes go on.
	Continue(numbers []int64)
	// Acknowledge says that a write was acknowledged.
	Acknowledge(lane int, n int64)
}

// The table meta has, besides the format:
//
//	database      random id of the database, which a restored one has, too
//	primary       system identifier and timeline of the server with which numbers were last compared
//	lost NODE     store.Loss as JSON, until it is settled
const (
	metaDatabase = "database"
	metaPrimary  = "primary"
	metaLost     = "lost "
)

// farAhead is how much a server that starts raises the generation of its lanes, so that it is above all that its
// predecessor may have asked for.
const farAhead = 1 << 20

// remember opens the memory of this server, after which its lanes are named.
func (db *DB) remember(ctx context.Context, conn *pgx.Conn) error {
	if db.o.Memory == nil {
		return nil
	}
	_, err := conn.Exec(ctx, "INSERT INTO "+db.schema+".meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", metaDatabase, randomID(16))
	if err != nil {
		return err
	}
	var id string
	if err := conn.QueryRow(ctx, "SELECT value FROM "+db.schema+".meta WHERE name = $1", metaDatabase).Scan(&id); err != nil {
		return err
	}
	if db.memory, err = db.o.Memory(id); err != nil {
		return err
	}
	db.name(db.memory.ID())
	return nil
}

// makeLanes makes the rows of the lanes, or goes on with those of the last start. If the database has lost writes since, it
// notes that in the same transaction, because the numbers do not tell any more afterwards.
func (db *DB) makeLanes(ctx context.Context, conn *pgx.Conn) error {
	if db.memory == nil {
		if now := db.primary(ctx, conn); now != "" {
			db.at.Store(&now)
		}
		_, err := conn.Exec(ctx, "INSERT INTO "+db.schema+".lanes (node, lane, generation, n, failed) SELECT $1, lane, 0, 0, '{}' FROM generate_series(0, $2::int4 - 1) AS lane", db.node, db.o.Lanes)
		return err
	}
	acknowledged := db.memory.Acknowledged()
	numbers := make([]int64, max(len(db.lanes), len(acknowledged)))
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	there := map[int]struct{ generation, n int64 }{}
	var lane int32
	var generation, n int64
	rows, err := tx.Query(ctx, "SELECT lane, generation, n FROM "+db.schema+".lanes WHERE node = $1 FOR UPDATE", db.node)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, []any{&lane, &generation, &n}, func() error {
		there[int(lane)] = struct{ generation, n int64 }{generation, n}
		return nil
	})
	if err != nil {
		return err
	}
	loss := store.Loss{Node: db.node, Found: time.Now().UTC(), Left: make([]int64, len(numbers))}
	for i := range numbers {
		row, known := there[i]
		was := int64(0)
		if i < len(acknowledged) {
			was = acknowledged[i]
		}
		loss.Left[i] = row.n
		if numbers[i] = max(row.n, was); row.n < was {
			loss.Why = fmt.Sprintf("lane %d is at write %d, but %d were acknowledged", i, row.n, was)
			loss.Older = loss.Older || !known
		}
		if i >= len(db.lanes) {
			continue
		}
		generation := row.generation + farAhead
		if _, err := tx.Exec(ctx, "INSERT INTO "+db.schema+".lanes (node, lane, generation, n, failed) VALUES ($1, $2, $3, $4, '{}') ON CONFLICT (node, lane) DO UPDATE SET generation = excluded.generation, n = excluded.n",
			db.node, i, generation, numbers[i]); err != nil {
			return err
		}
		l := db.lanes[i]
		l.generation, l.highest = generation, generation
		l.n.Store(numbers[i])
	}
	if loss.Why != "" {
		if err := db.noteLoss(ctx, tx, loss); err != nil {
			return err
		}
	} else if _, err := tx.Exec(ctx, "DELETE FROM "+db.schema+".meta WHERE name = $1 AND value NOT LIKE '%\"left\"%'", metaLost+db.node); err != nil { // found on a server that is not the primary any more
		return err
	}
	if err := db.comparePrimary(ctx, tx, loss.Why != "" || len(there) > 0); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	if loss.Why != "" {
		db.log.Error("the database has lost writes that it had acknowledged", "reason", loss.Why)
	}
	db.memory.Continue(numbers)
	return nil
}

// execer is a connection or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// noteLoss notes a loss, together with an earlier one of the same node that is not settled yet.
func (db *DB) noteLoss(ctx context.Context, x execer, l store.Loss) error {
	var text string
	err := x.QueryRow(ctx, "SELECT value FROM "+db.schema+".meta WHERE name = $1", metaLost+l.Node).Scan(&text)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	var before store.Loss
	if err == nil && json.Unmarshal([]byte(text), &before) == nil {
		l.Older, l.Moved = l.Older || before.Older, l.Moved && before.Moved
		for i := range min(len(l.Left), len(before.Left)) {
			l.Left[i] = min(l.Left[i], before.Left[i])
		}
		if l.Left == nil {
			l.Left = before.Left
		}
	}
	value, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = x.Exec(ctx, "INSERT INTO "+db.schema+".meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", metaLost+l.Node, string(value))
	return err
}

// primary returns the system identifier and the timeline of a server; "" if it has none.
func (db *DB) primary(ctx context.Context, x execer) string {
	var text string
	// pg_control_checkpoint has the timeline of the last checkpoint, which comes late after a promotion.
	err := x.QueryRow(ctx, "SELECT s.system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_control_system() AS s").Scan(&text)
	if err != nil {
		return ""
	}
	return text
}

// comparePrimary notes which server this is. If it is another one than before, and this node has not compared its numbers,
// nobody knows whether writes are lost.
func (db *DB) comparePrimary(ctx context.Context, tx pgx.Tx, compared bool) error {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	now := db.primary(ctx, inner)
	if now == "" { // the error has ended the inner transaction
		return inner.Rollback(ctx)
	}
	if err := inner.Commit(ctx); err != nil {
		return err
	}
	db.at.Store(&now)
	var before string
	err = tx.QueryRow(ctx, "SELECT value FROM "+db.schema+".meta WHERE name = $1", metaPrimary).Scan(&before)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if err == nil && before == now {
		return nil
	}
	if err == nil && !compared {
		l := store.Loss{Found: time.Now().UTC(), Older: true, Moved: true, Why: "another server has become the primary, and the files are gone with which the servers that used the old one could tell whether it has all writes"}
		if err := db.noteLoss(ctx, tx, l); err != nil {
			return err
		}
	}
	return db.notePrimary(ctx, tx, now)
}

func (db *DB) notePrimary(ctx context.Context, x execer, now string) error {
	_, err := x.Exec(ctx, "INSERT INTO "+db.schema+".meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", metaPrimary, now)
	return err
}

// followPrimary notes that the numbers in there were read from another server than before, which has all acknowledged
// writes. A lane may still be connected to the old one, and get an answer from it at this moment: under the lock, that
// counts either before the comparison or not at all.
func (db *DB) followPrimary(ctx context.Context, conn *pgx.Conn, there map[int32]int64) error {
	before := db.at.Load()
	if before == nil {
		return nil
	}
	now := db.primary(ctx, conn)
	if now == "" || now == *before {
		return nil
	}
	if db.memory != nil {
		if err := db.notePrimary(ctx, conn, now); err != nil {
			return err
		}
	}
	db.moving.Lock()
	defer db.moving.Unlock()
	if db.at.Load() != before { // another connection has compared
		return nil
	}
	if there != nil {
		if err := db.compare(db.acknowledgedNow(), there); err != nil {
			return err
		}
	}
	db.at.Store(&now)
	db.changes.Add(1)
	db.log.Info("the database has another primary, which has all acknowledged writes of this server", "before", *before, "now", now)
	return nil
}

// branchOf returns the server that a connection is to, as [DB.Branch] names it.
func (db *DB) branchOf(ctx context.Context, conn *pgx.Conn) string {
	if now := db.primary(ctx, conn); now != "" {
		return now
	}
	return db.Branch() // it has no name, or is as good as gone
}

// counts calls f, which counts an answer, unless the numbers were compared with another server than the one that has given
// the answer. Otherwise nobody would miss the write if that server is not the primary any more.
func (l *lane) counts(f func()) bool {
	l.db.moving.Lock()
	defer l.db.moving.Unlock()
	if l.branch != l.db.Branch() {
		return false
	}
	f()
	return true
}

// Changes implements store.Changer.
func (db *DB) Changes() uint64 { return db.changes.Load() }

// Branch implements store.Changer.
func (db *DB) Branch() string {
	if at := db.at.Load(); at != nil {
		return *at
	}
	return ""
}

// Losses implements store.Numbered.
func (db *DB) Losses(ctx context.Context) (losses []store.Loss, err error) {
	err = db.read(ctx, func(ctx context.Context) error {
		losses = nil
		rows, err := db.pool.Query(ctx, "SELECT name, value FROM "+db.schema+".meta WHERE name LIKE $1 ORDER BY name", metaLost+"%")
		if err != nil {
			return err
		}
		var name, value string
		_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
			l := store.Loss{}
			if json.Unmarshal([]byte(value), &l) != nil {
				l = store.Loss{Why: value, Older: true}
			}
			l.Node = strings.TrimPrefix(name, metaLost)
			l.Own = db.memory != nil && l.Node == db.node
			losses = append(losses, l)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading which writes the database has lost: %w", err)
	}
	return losses, nil
}

// Settle implements store.Numbered.
func (db *DB) Settle(ctx context.Context, l store.Loss) error {
	err := db.read(ctx, func(ctx context.Context) error {
		_, err := db.pool.Exec(ctx, "DELETE FROM "+db.schema+".meta WHERE name = $1", metaLost+l.Node)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting which writes the database has lost: %w", err)
	}
	return nil
}

// Restored notes that a database may have lost writes, although no number shows that, because the files of its servers were
// restored with it. why is for people. A crash in the middle may leave it noted.
func (db *DB) Restored(ctx context.Context, why string) error {
	conn, err := db.connect(ctx, nil)
	if err == nil {
		err = db.noteLoss(ctx, conn, store.Loss{Found: time.Now().UTC(), Older: true, Why: why})
		err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return fmt.Errorf("noting that the database was restored: %w", err)
	}
	return nil
}

// acknowledged tells the memory that a write was acknowledged.
func (db *DB) acknowledged(lane int32, n int64) {
	if db.memory != nil {
		db.memory.Acknowledge(int(lane), n)
	}
}

var _ store.Numbered = (*DB)(nil)
