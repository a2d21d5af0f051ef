// Package scrub reads all stored data once a day, so that damage is found while a backup still has the data. It
// repairs nothing: it reports what it found and stores the report for the next start.
package scrub
