package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flawless-engine/flawless"
)

// oldest is the oldest version of PostgreSQL that works.
const oldest = 13

// connector makes connections, each to a server that keeps the promises.
type connector struct {
	config      *pgx.ConnConfig
	schema      string // quoted
	application string // as which the connections are shown; at most 63 bytes
	node        string // name of this DB, with a random id
	pooled      bool   // a pooler hands out a connection to the server for each transaction
	log         *slog.Logger

	checked atomic.Bool // that standbys are synchronous
}

// session has the settings of each connection. They are set if the server knows them: the first ones notice a dead client,
// whose transaction would hold locks. The others make plans that are right however large the tables are, since a
// statement is planned once, when they may be empty.
var session = []struct {
	name, value string
	lanes       bool // only for them
}{
	{"tcp_keepalives_idle", "3", false},
	{"tcp_keepalives_interval", "2", false},
	{"tcp_keepalives_count", "3", false},
	{"tcp_user_timeout", strconv.FormatInt(silence.Milliseconds(), 10), false},
	{"client_connection_check_interval", "2s", false},
	{"statement_timeout", "0", false},
	{"lock_timeout", "0", false},
	{"idle_in_transaction_session_timeout", "0", false},
	{"idle_session_timeout", "0", false},
	{"transaction_timeout", strconv.FormatInt(silence.Milliseconds(), 10), true},
	{"enable_seqscan", "off", false},
	{"enable_bitmapscan", "off", false},
	{"jit", "off", false},
	{"plan_cache_mode", "force_generic_plan", false},
}

// prepared returns a copy of the configuration for a lane or for reading.
func (c *connector) prepared(lane bool) *pgx.ConnConfig {
	config := c.config.Copy()
	config.RuntimeParams["application_name"] = c.application
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	if c.pooled { // the next transaction may be on a connection that has not prepared the statement
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	config.DialFunc = c.config.DialFunc
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if err := c.check(ctx, conn); err != nil {
			return err
		}
		return c.setUp(ctx, conn, lane)
	}
	return config
}

// connect makes a connection for a lane, which is never cancelled. notice is called for the server's notices.
func (c *connector) connect(ctx context.Context, notice pgconn.NoticeHandler) (*pgx.Conn, error) {
	config := c.prepared(true)
	established := new(atomic.Bool)
	config.DialFunc = once(config.DialFunc, established)
	config.OnNotice = notice
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explain(err, c.config)
	}
	established.Store(true)
	return conn, nil
}

// check returns a refusal unless the server keeps what it acknowledges.
func (c *connector) check(ctx context.Context, conn *pgconn.PgConn) error {
	// A server that is not PostgreSQL may know fewer settings.
	results, err := conn.Exec(ctx, `SELECT current_setting('server_version_num'), pg_is_in_recovery(), current_setting('transaction_read_only'),
		coalesce(current_setting('synchronous_standby_names', true), ''), `+returned()).ReadAll()
	if err != nil {
		return err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return fmt.Errorf("the server did not answer with its settings")
	}
	var row []string
	for _, column := range results[0].Rows[0] {
		row = append(row, string(column))
	}
	if err := checkServer(row); err != nil {
		return err
	}
	if !c.checked.Swap(true) {
		return c.warn(ctx, conn, row[3], row[4])
	}
	return nil
}

// checkServer returns a refusal if a server is of no use. row has its version, whether it is a standby and whether it is
// read-only, the names of its standbys, and the values of settings.
func checkServer(row []string) error {
	if version, _ := strconv.Atoi(row[0]); version < oldest*10000 {
		return refuse(flawless.Invalid, "the server is PostgreSQL %d: upgrade it to version %d or later", version/10000, oldest)
	}
	if row[1] == "t" {
		return refuse(flawless.Invalid, "the server is a standby (pg_is_in_recovery): give the address of the primary, or name all servers in the address, separated by commas")
	}
	if row[2] == "on" {
		return refuse(flawless.Invalid, "the server does not accept writes (transaction_read_only=on): set default_transaction_read_only=off for the server, the database and the role")
	}
	return checkSettings(row[4:])
}

// checkSettings returns a refusal if one of settings has a value that loses acknowledged writes.
func checkSettings(values []string) error {
	for i, it := range settings {
		if values[i] == it.bad {
			return refuse(flawless.Invalid, "the server would lose acknowledged writes: %s is %s: set %s=on for the server, the database and the role", it.name, it.bad, it.name)
		}
	}
	return nil
}

// warn logs what loses acknowledged writes if another server becomes the primary.
func (c *connector) warn(ctx context.Context, conn *pgconn.PgConn, names, commit string) error {
	results, err := conn.Exec(ctx, "SELECT count(*) FROM pg_stat_replication").ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
		return nil // the server does not tell
	}
	standbys := string(results[0].Rows[0][0])
	switch {
	case names == "" && standbys != "0":
		c.log.Warn("all standbys of the database are asynchronous: a failover loses acknowledged writes; set synchronous_standby_names", "standbys", standbys)
	case names != "" && commit == "local":
		c.log.Warn("standbys of the database are not waited for: a failover loses acknowledged writes; set synchronous_commit=on", "synchronous_commit", commit)
	}
	return nil
}

// setUp sets the settings of the session that the server knows. It does not do so behind a pooler, where they would be
// those of other clients too: the operator sets them for the role.
func (c *connector) setUp(ctx context.Context, conn *pgconn.PgConn, lane bool) error {
	if c.pooled {
		return nil
	}
	var values []string
	for _, s := range session {
		if !s.lanes || lane {
			values = append(values, fmt.Sprintf("('%s', '%s')", s.name, s.value))
		}
	}
	all := func(values ...string) error {
		return conn.Exec(ctx, "SELECT set_config(s.name, w.value, false) FROM (VALUES "+strings.Join(values, ", ")+") AS w (name, value) JOIN pg_settings s ON s.name = w.name").Close()
	}
	if err := all(values...); err == nil || conn.IsClosed() {
		return err
	}
	for _, v := range values { // not every system of a server has all of them
		if err := all(v); err != nil && conn.IsClosed() {
			return err
		}
	}
	return nil
}

// numbers returns the query for the numbers of all lanes of this node.
func (c *connector) numbers() string {
	return "SELECT lane, n FROM " + c.schema + ".lanes WHERE node = $1"
}
