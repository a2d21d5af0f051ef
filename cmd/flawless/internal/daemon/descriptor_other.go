//go:build !unix

package daemon

// openFiles returns 0: this system reports no limit.
func openFiles() int { return 0 }
