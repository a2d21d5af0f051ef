// Package scrub reads all that is stored once a day, so that damage is found while there is a backup that still has the
// data. Nothing is repaired: what it finds is reported, and kept for the next start.
package scrub
