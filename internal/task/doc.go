// Package task runs goroutines and waits until all of them have ended.
package task
