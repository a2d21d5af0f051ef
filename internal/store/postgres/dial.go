package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// silence is how long a connection may be silent before its other end counts as dead.
const silence = 9 * time.Second

// errNoCancel is what a lane gets that dials once more.
var errNoCancel = errors.New("this connection is never cancelled")

// dialer returns a function that dials. It notices a dead server within [silence].
func dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Control: control, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: 2 * time.Second, Count: 3}}
	return d.DialContext
}

// once wraps a function that dials, and refuses once established is set. The driver dials again to have the server
// cancel a statement whose connection has failed. A commit that is cancelled while it waits for its synchronous standby
// becomes visible without being there, so lanes must never do that.
func once(dial func(ctx context.Context, network, addr string) (net.Conn, error), established *atomic.Bool) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if established.Load() {
			return nil, errNoCancel
		}
		return dial(ctx, network, addr)
	}
}
