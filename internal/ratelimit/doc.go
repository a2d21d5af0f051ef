// Package ratelimit limits the rate of calls to a host, over all servers of a database.
//
// An attempt takes a permit before it begins, or queues for one; the queue serves runs in rotation. The logs of the runs
// record which attempts wait, and this package caches that. A server reserves permits in the store before the attempts
// that use them begin, so the limit holds over restarts, and over all servers. At most one second of permits is reserved
// ahead, 100 ms if other servers use the limit, and lost in a crash. Servers take turns.
package ratelimit
