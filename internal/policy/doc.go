// Package policy has what operators say: how the runs of a module are treated, and what holds for calls to a host.
//
// It is a cache of the store, which is written first. What it says of a call when that has failed counts: a change holds
// for the next try of every call, and no log depends on it.
package policy
