// Package upgrade moves open runs to other code. Each run is replayed with the new code first, and moves only if the
// code makes the logged calls in the same order.
package upgrade
