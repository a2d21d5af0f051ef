package effect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// key names a server.
type key struct{ scheme, host, port string }

// denied is the word of the operator's policy.
type denied struct{ err error }

func (d *denied) Error() string { return d.err.Error() }
func (d *denied) Unwrap() error { return d.err }

// dial makes a connection to a server. The error is a fault with a reason.
func (c *Client) dial(ctx context.Context, k key) (link, *fault) {
	raw, err := c.quota.connect(ctx, c.pool.shed, func() (net.Conn, error) { return c.dialTCP(ctx, k) })
	if err != nil {
		return nil, notDialled(ctx, err)
	}
	if k.scheme == "http" {
		return newH1(&wire{Conn: raw}, nil), nil
	}
	cfg := c.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = k.host
	}
	w := &wire{Conn: raw}
	conn := tls.Client(w, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if ctx.Err() != nil {
			return nil, notDialled(ctx, err)
		}
		return nil, &fault{reason: "tls", err: err}
	}
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		return newH1(w, conn), nil
	}
	l, err := c.newH2(ctx, k, conn)
	if err != nil {
		_ = conn.Close()
		return nil, notDialled(ctx, err)
	}
	return l, nil
}

func notDialled(ctx context.Context, err error) *fault {
	f := &fault{reason: "dial", err: err}
	var dns *net.DNSError
	switch {
	case errors.As(err, new(*denied)):
		f.reason = "policy"
	case ctx.Err() != nil:
		f.reason, f.err = "timeout", context.Cause(ctx)
	case errors.As(err, &dns):
		f.reason = "name"
	}
	return f
}

// dialTCP makes a connection to a server, through the proxy that leads to it if there is one.
func (c *Client) dialTCP(ctx context.Context, k key) (net.Conn, error) {
	switch proxy, err := c.route(k); {
	case err != nil:
		return nil, err
	case proxy != nil:
		return c.tunnel(ctx, proxy, k)
	}
	addr := net.JoinHostPort(k.host, k.port)
	switch {
	case c.options.Dial == nil:
		d := net.Dialer{}
		if c.options.Policy != nil {
			d.ControlContext = func(_ context.Context, _, addr string, _ syscall.RawConn) error {
				return c.allow(k.host, addr)
			}
		}
		return d.DialContext(ctx, "tcp", addr)
	case c.options.Policy == nil:
		return c.options.Dial(ctx, "tcp", addr)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", k.host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		addr = net.JoinHostPort(ip.Unmap().String(), k.port)
		if err = c.allow(k.host, addr); err == nil {
			return c.options.Dial(ctx, "tcp", addr)
		}
	}
	return nil, err
}

// allow asks the policy about an address that a name stands for.
func (c *Client) allow(host, addr string) error {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return &denied{fmt.Errorf("address %s cannot be checked: %w", addr, err)}
	}
	if err := c.options.Policy(host, netip.AddrPortFrom(a.Addr().Unmap(), a.Port())); err != nil {
		return &denied{err}
	}
	return nil
}
