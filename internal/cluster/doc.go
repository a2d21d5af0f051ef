// Package cluster decides which server owns which shard.
//
// It is pure: servers that see the same owners and the same living servers come to the same result. It never claims or
// releases anything.
package cluster
