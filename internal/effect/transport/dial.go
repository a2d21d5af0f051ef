package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// dial makes a connection to a server. A fault has a reason.
func (c *Client) dial(ctx context.Context, s Server) (link, *Fault) {
	raw, err := c.quota.connect(ctx, c.pool.shed, func() (net.Conn, error) { return c.dialTCP(ctx, s) })
	if err != nil {
		return nil, notDialled(ctx, err)
	}
	if s.Scheme == "http" {
		return newH1(&wire{Conn: raw}, nil), nil
	}
	cfg := c.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = s.Host
	}
	w := &wire{Conn: raw}
	conn := tls.Client(w, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if ctx.Err() != nil {
			return nil, notDialled(ctx, err)
		}
		return nil, &Fault{Reason: "tls", Err: err}
	}
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		return newH1(w, conn), nil
	}
	l, err := c.newH2(ctx, s, conn)
	if err != nil {
		_ = conn.Close()
		return nil, notDialled(ctx, err)
	}
	return l, nil
}

func notDialled(ctx context.Context, err error) *Fault {
	f := &Fault{Reason: "dial", Err: err}
	var dns *net.DNSError
	switch {
	case errors.As(err, new(*denied)):
		f.Reason = "policy"
	case ctx.Err() != nil:
		f.Reason, f.Err = "timeout", context.Cause(ctx)
	case errors.As(err, &dns):
		f.Reason = "name"
	}
	return f
}

// dialTCP makes a TCP connection to a server, or a tunnel through a proxy.
func (c *Client) dialTCP(ctx context.Context, s Server) (net.Conn, error) {
	switch proxy, err := c.route(s); {
	case err != nil:
		return nil, err
	case proxy != nil:
		return c.tunnel(ctx, proxy, s)
	}
	addr := net.JoinHostPort(s.Host, s.Port)
	switch {
	case c.options.Dial == nil:
		d := net.Dialer{}
		if c.options.Policy != nil {
			d.ControlContext = func(_ context.Context, _, addr string, _ syscall.RawConn) error {
				return c.allow(s.Host, addr)
			}
		}
		return d.DialContext(ctx, "tcp", addr)
	case c.options.Policy == nil:
		return c.options.Dial(ctx, "tcp", addr)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.Host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		addr = net.JoinHostPort(ip.Unmap().String(), s.Port)
		if err = c.allow(s.Host, addr); err == nil {
			return c.options.Dial(ctx, "tcp", addr)
		}
	}
	return nil, err
}
