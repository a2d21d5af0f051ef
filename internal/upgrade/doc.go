// Package upgrade moves open runs to other code. Each run is replayed with the new code first, and moves only if the
// code makes the same calls in the same turns as the log. The order of the calls within a turn does not matter.
package upgrade
