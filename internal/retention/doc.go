// Package retention removes ended runs when the retention of their module has passed.
//
// A run stays while its parent is open, while it is in memory, and while it cannot be read. After a crash, the next
// start finishes a removal that had begun.
package retention
