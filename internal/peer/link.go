package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/flawless-engine/flawless"
)

// dialTime is how long a connection to another node may take.
const dialTime = 3 * time.Second

// Both sides ping a connection on which nothing arrives, so that a node that hangs or is cut off is noticed.
var pings = http.HTTP2Config{SendPingTimeout: 4 * time.Second, PingTimeout: 4 * time.Second, WriteByteTimeout: 8 * time.Second,
	MaxConcurrentStreams: 1 << 20} // those who wait for a run hold a stream each

// ErrUnsent is wrapped by the errors of requests that the other side has not seen.
var ErrUnsent = errors.New("nothing was sent")

// links are the connections to other nodes, one to each. They end with the row of the node.
type links struct {
	key     *Key
	dialing singleflight.Group
	upgrade *http.Transport // makes HTTP/2 connections; its own pool is never used, so it keeps and repeats nothing

	mu     sync.Mutex
	closed bool
	open   map[string]*http.ClientConn // by node
}

// isRefused reports whether the other side has refused our certificate, which it does before it reads any request (RFC 8446,
// section 6.2). Our side of the handshake is over by then, and the request may have been written.
func isRefused(err error) bool {
	var alert *net.OpError // whose type crypto/tls hides
	return errors.As(err, &alert) && alert.Op == "remote error" && alert.Err.Error() == "tls: bad certificate"
}

// secured is the context key of the TLS connection that becomes an HTTP/2 connection.
type secured struct{}

func newLinks(k *Key) *links {
	t := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(secured{}).(net.Conn), nil
		},
		DisableCompression: true, Protocols: new(http.Protocols), HTTP2: &pings,
	}
	t.Protocols.SetHTTP2(true)
	return &links{key: k, upgrade: t, open: map[string]*http.ClientConn{}}
}

// roundTrip sends a request to a node, once.
func (l *links) roundTrip(n flawless.Node, r *http.Request) (*http.Response, error) {
	conn, err := l.connect(r.Context(), n)
	if err != nil {
		return nil, fmt.Errorf("connecting to node %s at %s: %w: %w", n.Name, n.Address, ErrUnsent, err)
	}
	var began atomic.Bool // set when the first header field is encoded, before the first byte is written
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { began.Store(true) }}))
	r.GetBody = nil
	res, err := conn.RoundTrip(r)
	if err != nil {
		if conn.Err() != nil {
			l.forget(n.ID, conn)
		}
		if !began.Load() || isRefused(err) {
			err = fmt.Errorf("%w: %w", ErrUnsent, err)
		}
		return nil, fmt.Errorf("asking node %s at %s: %w", n.Name, n.Address, err)
	}
	return res, nil
}

// connect returns the connection to a node. All who need one at the same time wait for the same attempt.
func (l *links) connect(ctx context.Context, n flawless.Node) (*http.ClientConn, error) {
	l.mu.Lock()
	conn := l.open[n.ID]
	l.mu.Unlock()
	if conn != nil && conn.Err() == nil {
		return conn, nil
	}
	made := l.dialing.DoChan(n.ID, func() (any, error) { return l.dial(n) })
	select {
	case got := <-made:
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*http.ClientConn), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *links) dial(n flawless.Node) (*http.ClientConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", n.Address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, l.key.config(func(fingerprint string) error {
		if n.Fingerprint == "" || fingerprint != n.Fingerprint {
			return fmt.Errorf("it is not that of node %s: %w", n.Name, flawless.Denied)
		}
		return nil
	}))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	made, err := l.upgrade.NewClientConn(context.WithValue(ctx, secured{}, net.Conn(conn)), "https", n.Address)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	l.mu.Lock()
	old := l.open[n.ID]
	if l.closed {
		old = made
	} else {
		l.open[n.ID] = made
	}
	l.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	if old == made {
		return nil, net.ErrClosed
	}
	return made, nil
}

func (l *links) forget(node string, conn *http.ClientConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[node] == conn {
		delete(l.open, node)
	}
}

// keep closes the connections to nodes that do not live any more.
func (l *links) keep(living map[string]flawless.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, conn := range l.open {
		if _, lives := living[id]; !lives {
			delete(l.open, id)
			_ = conn.Close()
		}
	}
}

func (l *links) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.keep(nil)
}
