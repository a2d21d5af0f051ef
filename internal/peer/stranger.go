package peer

import (
	"container/list"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxUnknown is the maximum number of open connections that have made no request, and so may be of anybody.
const maxUnknown = 256

// strangers closes connections of others than nodes, who can connect to the address for other nodes too. If there are too
// many, the oldest ones are closed: a node takes a moment to show its certificate and to make its request.
type strangers struct {
	log *slog.Logger

	mu      sync.Mutex
	unknown list.List // of net.Conn, oldest first
	at      map[net.Conn]*list.Element
	refused int // certificates since the last line in the log
	logged  time.Time
}

// state is http.Server.ConnState.
func (s *strangers) state(c net.Conn, is http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is != http.StateNew {
		if e := s.at[c]; e != nil {
			s.unknown.Remove(e)
			delete(s.at, c)
		}
		return
	}
	if s.at == nil {
		s.at = map[net.Conn]*list.Element{}
	}
	s.at[c] = s.unknown.PushBack(c)
	if s.unknown.Len() > maxUnknown {
		oldest := s.unknown.Remove(s.unknown.Front()).(net.Conn)
		delete(s.at, oldest)
		_ = oldest.Close()
	}
}

// refuse notes a certificate that was refused, and says so in the log from time to time: anybody can connect.
func (s *strangers) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused++
	if now := time.Now(); now.Sub(s.logged) >= time.Minute {
		s.log.Warn("refused a connection to the address for other nodes: its certificate belongs to no living node", "refused", s.refused)
		s.refused, s.logged = 0, now
	}
}
