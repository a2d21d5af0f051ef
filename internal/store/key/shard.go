package key

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/flawless-engine/flawless"
)

// Shard is the number of a part of everything that is owned: runs, shared states, schedules and rate limits.
type Shard uint16

const (
	// Shards is the number of shards. It is fixed: the keys of a database depend on it.
	Shards = 256
	// ShardOfCaps is reserved for the caps of all modules and keys. It has a lease, but no rows yet.
	ShardOfCaps Shard = Shards
)

// ShardOf returns the shard of a run. All runs of a family are in the same one: order-7.3.1 is where order-7 is.
func ShardOf(run string) Shard { return shardOf("", flawless.FamilyOf(run)) }

// Kind is a kind of things that are owned under a name.
type Kind string

// The kinds of [ShardOfName].
const (
	KindState    Kind = "state"
	KindSchedule Kind = "schedule"
	KindHost     Kind = "host" // the rate limit of a host
)

// ShardOfName returns the shard of a shared state, a schedule or the rate limit of a host.
func ShardOfName(k Kind, name string) Shard { return shardOf(string(k)+"\x00", name) }

// shardOf returns the first byte of the SHA-256 of both texts. The buffer keeps short ones off the heap.
func shardOf(prefix, name string) Shard {
	var buf [256]byte
	sum := sha256.Sum256(append(append(buf[:0], prefix...), name...))
	return Shard(sum[0])
}

// OfLease returns the key of the lease of a shard, which may be [ShardOfCaps].
func OfLease(sh Shard) Key { return binary.BigEndian.AppendUint16(Lease.Key(), uint16(sh)) }

// ShardOfLease returns the shard of a key that [OfLease] has made, or [flawless.Damaged].
func ShardOfLease(k []byte) (Shard, error) {
	p := Split(k, 1)
	if len(p.rest) < 2 {
		p.bad = true
		return 0, p.Whole(k)
	}
	sh := Shard(binary.BigEndian.Uint16(p.rest))
	p.rest = p.rest[2:]
	return sh, p.Whole(k)
}

// Numbers returns the numbers of shards, without that of [ShardOfCaps].
func Numbers(shards []Shard) (n []int) {
	for _, sh := range shards {
		if sh != ShardOfCaps {
			n = append(n, int(sh))
		}
	}
	return n
}
