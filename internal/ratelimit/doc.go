// Package ratelimit paces the calls towards hosts that have a limit.
//
// A try takes a permit before it begins, or queues for one; runs take turns. Which tries wait is in the logs of their
// runs: what this package knows is a cache of that. How far a limit is used up is in the store before the tries begin that
// use it up, so no restart forgets it; at most a second of permits is written ahead, and lost with a crash.
package ratelimit
