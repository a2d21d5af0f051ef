// Package task owns goroutines, so that whoever started them can wait until all have ended.
package task
