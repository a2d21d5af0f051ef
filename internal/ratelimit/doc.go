// Package ratelimit limits the rate of calls to a host.
//
// An attempt takes a permit before it begins, or queues for one; the queue serves runs in rotation. The logs of the runs
// record which attempts wait, and this package caches that. The store records the use of a limit before the attempts
// that use it begin, so a restart does not reset the limit. At most one second of permits is recorded ahead, and lost
// in a crash.
package ratelimit
