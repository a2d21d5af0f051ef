package kv

import "slices"

// ClaimMemory remembers outside of the database how far other nodes have got with the claims of shards, so that a database is
// recognised that has lost a claim. Its methods may be called concurrently, and never block.
type ClaimMemory interface {
	// Claim notes a number for a shard, unless a higher one was noted, and returns the highest one that was noted before.
	Claim(shard int, seen uint64) (before uint64)
}

// Rivals is such a memory. Nil remembers nothing.
type Rivals struct {
	Memory ClaimMemory
	Self   []string // ids of the nodes whose claims are not remembered: this one, and those that it was before
}

// Reached returns a number that grows with each claim of a shard, and when its owner frees it.
func Reached(owner string, epoch uint64) uint64 {
	if owner == "" {
		return 2*epoch + 1
	}
	return 2 * epoch
}

// See remembers the owner of a shard, if that is another node.
func (c *Rivals) See(shard int, owner string, epoch uint64) {
	if c != nil && owner != "" && !slices.Contains(c.Self, owner) {
		c.Memory.Claim(shard, Reached(owner, epoch))
	}
}

// Freed remembers that this node has freed a shard that it had with an epoch. Another one may claim it, and be gone before
// anybody has seen it.
func (c *Rivals) Freed(shard int, epoch uint64) {
	if c != nil {
		c.Memory.Claim(shard, Reached("", epoch))
	}
}

// Seen returns how far other nodes have got with a shard.
func (c *Rivals) Seen(shard int) uint64 {
	if c == nil {
		return 0
	}
	return c.Memory.Claim(shard, 0)
}
