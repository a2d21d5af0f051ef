package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// denied is a refusal by Options.Policy.
type denied struct{ err error }

func (d *denied) Error() string { return d.err.Error() }
func (d *denied) Unwrap() error { return d.err }

// allow passes an address of a host to Options.Policy, which is set. It is the address that the connection is made to,
// not one that the name had earlier.
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

// allowThroughProxy asks the policy about a server that a proxy connects to. The proxy looks the name up, so the
// policy can only be asked about the addresses that this machine knows.
func (c *Client) allowThroughProxy(ctx context.Context, s Server) error {
	if c.options.Policy == nil {
		return nil
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(s.Host); err == nil {
		ips = append(ips, ip)
	} else if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", s.Host); err != nil {
		return nil // a name that only the proxy knows
	}
	for _, ip := range ips {
		if err := c.allow(s.Host, net.JoinHostPort(ip.Unmap().String(), s.Port)); err != nil {
			return err
		}
	}
	return nil
}
