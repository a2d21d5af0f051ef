// Package postgres implements store.KV on PostgreSQL, which several servers can reach.
//
// It hides SQL, connections and what can happen to them. Writers share statements: each of a few lanes, which are
// connections for writing, carries all batches that wait in one statement, which is one transaction in one round trip.
// In addition to store.KV, it guarantees that a caller of Apply never gets an unknown outcome as long as the database
// comes back: a statement whose answer was lost is found in the row of its lane, or can never take effect any more. It
// waits while the database is away, until the context ends, or [DB.Close] or [DB.Abandon] is called.
//
// It never uses a server that does not keep what it has acknowledged (such as one with fsync=off). When it finds that
// acknowledged writes are gone, it stops for good, and [DB.Losses] of the next [Open] says so. It uses no prepared transactions, advisory locks, sequences or
// notifications, and reads from the primary only.
//
// Between DBs on the same tables, an expectation that a key does not exist is only certain if the batch sets that key, or
// if the batch has another expectation that all writers of the key share, such as that of a lease.
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flawless-engine/flawless"
)

// Options configures a database. The zero value is the default.
type Options struct {
	Schema  string        // "" is DefaultSchema
	Name    string        // of this server, shown by the database; at most 30 bytes count
	Lanes   int           // connections for writing; 0 is 2
	Readers int           // maximum number of connections for reading; 0 is 8
	Wait    time.Duration // how long Open waits for a server that cannot be reached; 0 is 10 s, negative is not at all
	Log     *slog.Logger  // nil logs nothing
	// Patience is how long a statement may take before its connection is given up and its outcome asked for; 0 is 30 s.
	Patience time.Duration
	// Passing says that nothing outside of the database depends on what is written, such as the renewals of a lease: if the
	// database loses some of it, the DB goes on with what is left, and notes nothing.
	Passing bool

	// Memory opens what this server remembers of its writes to a database, which a random id identifies. The caller closes
	// it after the DB. Nil remembers nothing after Close.
	Memory func(database string) (Memory, error)

	grace time.Duration                                                     // how long Apply and Close wait for an answer after they should return; 0 is 5 s, but at most Patience
	dial  func(ctx context.Context, network, addr string) (net.Conn, error) // nil is the network
}

// DB is a database. All methods may be called concurrently.
type DB struct {
	connector
	o     Options
	queue *queue
	lanes []*lane
	pool  *pgxpool.Pool
	group sync.WaitGroup // of the lanes

	statements sync.Map        // text of statements by shape
	stopped    context.Context // ends when nothing waits for the database any more
	stop       context.CancelFunc
	closing    atomic.Bool
	failure    atomic.Pointer[error]
	fullSince  atomic.Pointer[time.Time] // when the server last had no space
	away       atomic.Bool               // the server cannot be reached
	local      string                    // host of this end of the first connection, "" unless it is TCP
	memory     Memory                    // nil is none
	at         atomic.Pointer[string]    // the server with which numbers were last compared, nil if it is not known
	changes    atomic.Uint64             // how often that was another one
	moving     sync.Mutex                // held while at changes, and while a lane counts an answer
}

// Open opens the tables in a schema of the database at an address (postgres://…), and creates both if necessary. What
// the address lacks comes from the environment, ~/.pgpass and service files, as in other programs for PostgreSQL.
//
// It returns [flawless.Invalid] if the address is wrong, the server does not accept it, is too old, is no primary or
// would lose acknowledged writes, or if the schema has other tables; [flawless.Conflict] if the tables have a newer format;
// and the error of Memory. Writes that the database has lost are no error: see [DB.Losses]. A crash in the middle leaves
// tables that can be opened. No error and no log line contains the password.
func Open(ctx context.Context, address string, o Options) (*DB, error) {
	pool, pooled, err := parse(address)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	db := newDB(pool, o)
	db.pooled = pooled
	if err := db.open(ctx, pool); err != nil {
		db.stop()
		return nil, fmt.Errorf("opening the store (%s): %w", db.Where(), err)
	}
	return db, nil
}

func newDB(pool *pgxpool.Config, o Options) *DB {
	if o.Schema == "" {
		o.Schema = DefaultSchema
	}
	if o.Lanes <= 0 {
		o.Lanes = 2
	}
	if o.Readers <= 0 {
		o.Readers = 8
	}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.grace == 0 {
		o.grace = min(5*time.Second, o.Patience)
	}
	config := pool.ConnConfig.Copy()
	if config.DialFunc = o.dial; o.dial == nil {
		config.DialFunc = dialer()
	}
	db := &DB{o: o, queue: newQueue()}
	db.connector = connector{config: config, schema: pgx.Identifier{o.Schema}.Sanitize(), log: o.Log}
	db.name(randomID(8))
	db.stopped, db.stop = context.WithCancel(context.Background())
	return db
}

// randomID returns a random id of some bytes.
func randomID(bytes int) string {
	id := make([]byte, bytes)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// name names this server: for the lanes, and for people who look at the connections.
func (db *DB) name(id string) {
	db.node, db.application = id, fmt.Sprintf("flawless %.16s", id)
	if db.o.Name != "" {
		db.application = fmt.Sprintf("flawless %.30s %.16s", db.o.Name, id)
	}
}

// Where names the database for people, without credentials.
func (db *DB) Where() string { return where(db.config, db.o.Schema) }

func (db *DB) open(ctx context.Context, pool *pgxpool.Config) error {
	for n := range db.o.Lanes {
		db.lanes = append(db.lanes, &lane{db: db, number: int32(n)})
	}
	conn, err := db.first(ctx, db.lanes[0].notice)
	if err != nil {
		return err
	}
	db.lanes[0].conn = conn
	if at, ok := conn.PgConn().Conn().LocalAddr().(*net.TCPAddr); ok {
		db.local = at.IP.String()
	}
	err = db.migrate(ctx, conn)
	if err == nil {
		err = db.remember(ctx, conn)
	}
	if err == nil {
		err = db.makeLanes(ctx, conn)
	}
	for _, l := range db.lanes[1:] {
		if err == nil {
			l.conn, err = db.connect(ctx, l.notice)
		}
	}
	for _, l := range db.lanes {
		if err == nil {
			l.branch = db.branchOf(ctx, l.conn)
		}
	}
	if err == nil {
		err = db.openPool(ctx, pool)
	}
	if err != nil {
		return errors.Join(explain(err, db.config), db.closeLanes())
	}
	for _, l := range db.lanes {
		db.group.Go(l.serve)
	}
	return nil
}

// first makes the first connection. It waits for a server that is about to start.
func (db *DB) first(ctx context.Context, notice pgconn.NoticeHandler) (*pgx.Conn, error) {
	began := time.Now()
	for {
		conn, err := db.connect(ctx, notice)
		if err == nil || flawless.CodeOf(err) != "" || ctx.Err() != nil || time.Since(began) > db.o.Wait {
			db.away.Store(false)
			return conn, err
		}
		if !db.away.Swap(true) {
			db.log.Info("waiting for the database", "error", err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// openPool makes the first connection for reading, so that the server cannot be short of them later without notice.
func (db *DB) openPool(ctx context.Context, pool *pgxpool.Config) error {
	pool.ConnConfig = db.prepared(false)
	pool.MaxConns = int32(db.o.Readers)
	pool.AfterConnect = db.verify
	var err error
	if db.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), pool); err != nil {
		return err
	}
	if err := db.pool.Ping(ctx); err != nil {
		db.pool.Close()
		return err
	}
	return nil
}

// Close implements store.KV. While the database is away, it waits for a few seconds, and then gives up as [DB.Abandon]
// does.
func (db *DB) Close() error {
	if db.closing.Swap(true) {
		return nil
	}
	db.queue.close(errClosed, false)
	late := time.AfterFunc(db.o.grace, db.Abandon)
	db.group.Wait()
	late.Stop()
	err := db.closeLanes()
	db.stop()
	db.pool.Close()
	if err != nil {
		return fmt.Errorf("closing the store (%s): %w", db.Where(), err)
	}
	return nil
}

// closeLanes removes the rows of the lanes and closes their connections. Without its row, no statement of a lane can take
// effect any more.
func (db *DB) closeLanes() error {
	ctx, cancel := context.WithTimeout(context.Background(), db.o.grace)
	defer cancel()
	known := db.Failed() == nil
	for _, l := range db.lanes {
		known = known && l.conn != nil
	}
	var err error
	if known && len(db.lanes) > 0 && db.memory == nil { // else the next start compares the numbers
		_, err = db.lanes[0].conn.Exec(ctx, "DELETE FROM "+db.schema+".lanes WHERE node = $1", db.node)
		if classify(err) == unknown {
			err = nil // the rows of a server that was killed stay, too
		}
	}
	for _, l := range db.lanes {
		l.disconnect()
	}
	return err
}

// Abandon ends all waiting for the database: callers of Apply whose batch was sent get an error that wraps no code,
// because the outcome is unknown. Nothing can be written afterwards.
func (db *DB) Abandon() {
	db.queue.close(errClosed, true)
	db.stop()
}

// errClosed is the error after Close or Abandon.
var errClosed = fmt.Errorf("the database is closed: %w", flawless.Stopping)

// Failed implements store.Failer.
func (db *DB) Failed() error {
	if err := db.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail stops everything for good.
func (db *DB) fail(err error) error {
	if db.failure.CompareAndSwap(nil, &err) {
		db.log.Error("the database can no longer be used", "error", err)
		if errors.Is(err, Lost) {
			db.mark(err)
		}
	}
	err = db.Failed()
	db.queue.close(err, true)
	db.stop()
	return err
}

// afterFull is how long no new work is accepted after the server had no space.
const afterFull = 10 * time.Second

// Full implements store.Spacer.
func (db *DB) Full() (bool, string) {
	if since := db.fullSince.Load(); since != nil && time.Since(*since) < afterFull {
		return true, "the database server has no disk space left"
	}
	return false, ""
}
