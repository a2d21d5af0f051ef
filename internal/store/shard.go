package store

import (
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Shard is the number of a part of everything that is owned: runs, shared states and schedules. A shard has
// one owner at a time, see [Lease].
type Shard = key.Shard

const (
	// Shards is the number of shards. It is fixed: the keys of a database depend on it.
	Shards = key.Shards
	// ShardOfCaps is reserved for the caps of all modules and keys. Its rows are the grants, whose keys have no shard.
	ShardOfCaps = key.ShardOfCaps
)

// AllShards returns all shards but [ShardOfCaps].
func AllShards() []Shard {
	all := make([]Shard, Shards)
	for i := range all {
		all[i] = Shard(i)
	}
	return all
}

// ShardOf returns the shard of a run. All runs of a family are in the same one: order-7.3.1 is where order-7 is.
func ShardOf(run string) Shard { return key.ShardOf(run) }

// Kind is a kind of things that are owned under a name.
type Kind = key.Kind

// The kinds of [ShardOfName].
const (
	KindState    = key.KindState
	KindSchedule = key.KindSchedule
	KindHost     = key.KindHost // the rate limit of a host
)

// ShardOfName returns the shard of a shared state, a schedule or the rate limit of a host.
func ShardOfName(k Kind, name string) Shard { return key.ShardOfName(k, name) }

// ElsewhereError says that another server owns a shard. It is a [flawless.Elsewhere].
type ElsewhereError struct{ Shard Shard }

// Error says which shard it is.
func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("another server owns shard %d, which it belongs to; send the request to that server: %v", e.Shard, flawless.Elsewhere)
}

// Unwrap returns [flawless.Elsewhere].
func (e *ElsewhereError) Unwrap() error { return flawless.Elsewhere }
