// Package policy holds the settings of operators: for the runs of a module, and for calls to a host.
//
// It caches the store, which is written first. A change applies to the next attempt of every call. No log depends on
// it.
package policy
