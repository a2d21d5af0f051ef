// Package kv says what the store needs of a database, an ordered map of bytes to bytes, and reads what belongs to some of its
// shards: one after another, or merged.
package kv
