//go:build !linux

package pgtest

import "testing"

// Pause skips the test: the processes of a server are only known on Linux.
func (s *Server) Pause(t testing.TB) (resume func()) {
	t.Skip("the processes of PostgreSQL's server cannot be found on this system")
	return nil
}
