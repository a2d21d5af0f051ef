package postgres

import (
	"context"
	"fmt"
	"time"
)

// Session returns the name of the connections of this DB, as the database shows them (application_name).
func (db *DB) Session() string { return db.application }

// EndSessions ends the connections with some names, except those of this DB, and returns their number. What they were about to
// commit is undone, and their locks are free. A connection that waits for a standby is left alone: its transaction is
// committed. It takes no longer than two seconds. Ending them takes the same role as theirs, or pg_signal_backend.
func (db *DB) EndSessions(ctx context.Context, names ...string) (ended int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity
		WHERE application_name = ANY ($1) AND application_name <> $2 AND wait_event IS DISTINCT FROM 'SyncRep' OFFSET 0) AS t WHERE done`, names, db.application).Scan(&ended)
	if err != nil {
		return 0, fmt.Errorf("ending the connections of a node that has stopped: %s", reason(err))
	}
	return ended, nil
}
