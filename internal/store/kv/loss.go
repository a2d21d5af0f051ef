package kv

import (
	"context"
	"time"
)

// Numbered is a [KV] that may lose writes although it has acknowledged them: those after some position in each of its lanes,
// when another server becomes the primary or a backup is restored. See [Loss].
type Numbered interface {
	// ApplyAt is Apply that returns the position of the batch.
	ApplyAt(ctx context.Context, b *Batch) (Position, error)
	// Losses returns what was found to be lost and not settled yet.
	Losses(ctx context.Context) ([]Loss, error)
	// Settle forgets a loss, once nothing can happen twice because of it. After a crash in the middle it may still be there.
	Settle(ctx context.Context, l Loss) error
}

// Changer is a [KV] that may move from one database server to another.
type Changer interface {
	// Changes returns how often it has. It never blocks.
	Changes() uint64
	// Branch names the history that has all writes which this server was told are durable: the database server and its
	// timeline, for instance. It is another one after a failover, after which this server has compared its numbers. It is ""
	// if that is not known, or the database has no such name. It never blocks.
	Branch() string
}

// Position is the place of a write in the history of a database. The zero value is unknown, or of a database that loses
// nothing.
type Position struct {
	Lane int
	N    int64 // 1, 2, 3 within the lane
}

// Loss says that a database has lost writes that it had acknowledged.
type Loss struct {
	Node  string    `json:"node,omitempty"` // whose writes they were, as the database names it; "" if that is not known
	Found time.Time `json:"found"`
	Why   string    `json:"why"` // how it was found, for people
	// Left has the last write of the node that the database still has, by lane. Nil if it is not known.
	Left []int64 `json:"left,omitempty"`
	// Older says that writes from before the first one of the node may be lost, too.
	Older bool `json:"older,omitempty"`
	// Moved says that all that is known is that the database has moved to another server.
	Moved bool `json:"moved,omitempty"`

	// Own says that the node is this one, so that it knows what it has done since.
	Own bool `json:"-"`
}

// Losses returns the losses of a database that are not settled. One that is not [Numbered] has none.
func Losses(ctx context.Context, db KV) ([]Loss, error) {
	if n, ok := db.(Numbered); ok {
		return n.Losses(ctx)
	}
	return nil, nil
}

// Settle forgets a loss of a database.
func Settle(ctx context.Context, db KV, l Loss) error {
	if n, ok := db.(Numbered); ok {
		return n.Settle(ctx, l)
	}
	return nil
}

// Branch returns the branch of a [Changer]; "" for any other database.
func Branch(db KV) string {
	if c, ok := db.(Changer); ok {
		return c.Branch()
	}
	return ""
}

// Changes returns the changes of a [Changer]; 0 for any other database.
func Changes(db KV) uint64 {
	if c, ok := db.(Changer); ok {
		return c.Changes()
	}
	return 0
}
