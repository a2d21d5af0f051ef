package postgres

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// proxy stands between clients and a server, and does something with what clients send.
type proxy struct {
	server   string
	listener net.Listener
	all      sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	do    func(request []byte) deed // asked for every request; nil lets everything pass
}

// deed is what a proxy does with a request, which is a list of messages that ends with Sync or is a simple query.
type deed struct {
	cut     bool            // close both connections before it, or after the given messages
	part    int             // forward so many bytes before the cut, at most all but one
	stall   bool            // forward all but the last message (Sync), and then nothing in either direction
	after   bool            // close both after the server's answer, without forwarding that
	late    <-chan struct{} // forward it when this is closed, whatever happens to the client
	inject  string          // answer with an error of this SQLSTATE, without asking the server
	fatal   bool            // which closes the connection
	arrived chan<- struct{} // told that the server has executed it
}

func newProxy(t *testing.T, s *pgtest.Server) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: net.JoinHostPort("127.0.0.1", itoa(s.Port())), listener: l, conns: map[net.Conn]bool{}}
	p.all.Go(p.serve)
	t.Cleanup(func() {
		l.Close()
		p.cutAll()
		p.all.Wait()
	})
	return p
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// set sets what is done with requests.
func (p *proxy) set(do func(request []byte) deed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.do = do
}

// cutAll closes all connections.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) track(c net.Conn) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return c
}

func (p *proxy) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.connection(p.track(c)) })
	}
}

// connection forwards a connection request by request.
func (p *proxy) connection(client net.Conn) {
	defer p.forget(client)
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	p.track(server)
	defer p.forget(server)
	var head [4]byte
	if _, err := io.ReadFull(client, head[:]); err != nil {
		return
	}
	start := make([]byte, binary.BigEndian.Uint32(head[:]))
	copy(start, head[:])
	if _, err := io.ReadFull(client, start[4:]); err != nil {
		return
	}
	if _, err := server.Write(start); err != nil {
		return
	}
	requests := make(chan []byte)
	p.all.Go(func() { readRequests(client, requests) })
	// The server answers the start and each request with messages up to ReadyForQuery.
	if !forwardAnswer(client, server, true) {
		return
	}
	for request := range requests {
		if !p.request(client, server, request) {
			client.Close()
			server.Close()
			for range requests { // until the reader has noticed
			}
			return
		}
	}
}

// request handles one request, and reports whether the connection goes on.
func (p *proxy) request(client, server net.Conn, request []byte) bool {
	p.mu.Lock()
	do := p.do
	p.mu.Unlock()
	var d deed
	if do != nil {
		d = do(request)
	}
	switch {
	case d.cut:
		_, _ = server.Write(request[:min(d.part, len(request)-1)])
		return false
	case d.inject != "":
		severity := "ERROR"
		if d.fatal {
			severity = "FATAL"
		}
		e := &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: d.inject, Message: "injected"}
		out, err := e.Encode(nil)
		if err == nil && !d.fatal {
			out, err = (&pgproto3.ReadyForQuery{TxStatus: 'I'}).Encode(out)
		}
		if err == nil {
			_, err = client.Write(out)
		}
		return err == nil && !d.fatal
	}
	if d.stall {
		// Whatever the client does, the server's connection stays open until the proxy ends or the server closes it.
		_, _ = server.Write(append(request[:len(request)-5], 'H', 0, 0, 0, 4)) // with Flush
		_, _ = io.Copy(io.Discard, server)
		return false
	}
	if d.late != nil {
		<-d.late
	}
	if _, err := server.Write(request); err != nil {
		return false
	}
	ok := forwardAnswer(client, server, !d.after && d.late == nil)
	if d.arrived != nil {
		close(d.arrived)
	}
	return ok && !d.after && d.late == nil
}

// readRequests sends the requests of a client to a channel.
func readRequests(client net.Conn, to chan<- []byte) {
	defer close(to)
	var request []byte
	for {
		kind, message, err := readMessage(client)
		if err != nil {
			return
		}
		if request = append(request, message...); kind == 'S' || kind == 'Q' || kind == 'p' || kind == 'X' {
			to <- request
			request = nil
		}
	}
}

// forwardAnswer reads the answer of the server up to ReadyForQuery.
func forwardAnswer(client, server net.Conn, forward bool) bool {
	for {
		kind, message, err := readMessage(server)
		if err != nil {
			return false
		}
		if forward {
			if _, err := client.Write(message); err != nil {
				forward = false
			}
		}
		if kind == 'Z' {
			return true
		}
	}
}

func readMessage(from net.Conn) (byte, []byte, error) {
	message := make([]byte, 5)
	if _, err := io.ReadFull(from, message); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(message[1:])
	if n < 4 || n > 1<<30 {
		return 0, nil, errors.New("not a message")
	}
	message = append(message, make([]byte, n-4)...)
	_, err := io.ReadFull(from, message[5:])
	return message[0], message, err
}
