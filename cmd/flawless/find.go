package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// find returns a client of the server that runs on the working directory, by what that has written there. It is
// nil where the usual address is to be taken: nobody has named the directory, and it has no server that answers.
// For a named directory there is no other server: what is to happen there must not happen elsewhere.
func (a *app) find(ctx context.Context, o client.Options) (*client.Client, error) {
	s, err := workdir.FindServer(a.dir)
	switch {
	case err != nil:
		return nil, err
	case s == nil && a.named:
		return nil, fmt.Errorf("no server runs on %s; start it with: flawless --working-dir %s up, or name another with --socket: %w", a.dir, a.dir, noServer)
	case s == nil:
		return nil, nil
	}
	if o.Socket, o.Port, err = reachable(s); err != nil {
		return nil, fmt.Errorf("the server of %s has written an address that is none: %v: %w", a.dir, err, flawless.Invalid)
	}
	o.Store = s.Store
	cl, err := client.New(o)
	if err != nil {
		return nil, err
	}
	_, err = cl.Version(ctx)
	var refused *client.Refusal
	if err == nil || errors.As(err, &refused) && refused.Status != http.StatusMisdirectedRequest { // the command itself is told
		a.socket = o.Socket
		return cl, nil
	}
	_ = cl.Close()
	switch {
	case ctx.Err() != nil:
		return nil, err
	case !a.named:
		return nil, nil // it was killed, or its address is another server's by now
	}
	return nil, fmt.Errorf("the server of %s (process %d on %s) was killed, or is not up yet (%v); start it with: flawless --working-dir %s up: %w",
		a.dir, s.PID, s.Host, err, a.dir, noServer)
}

// sameStore returns the id of the store in the working directory, where flags name both a directory and an
// address. It refuses them where another server listens at that address: what is meant for one must not happen
// to the other.
func (a *app) sameStore(ctx context.Context, o client.Options) (string, error) {
	mark, err := workdir.Look(filepath.Join(a.dir, "store"))
	if err != nil {
		return "", err
	}
	if mark == nil {
		return "", fmt.Errorf("--working-dir %s has no store that the server at %s could be the one of; leave out --working-dir, or the address: %w",
			a.dir, address(o), flawless.Invalid)
	}
	cl, err := client.New(o)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	h, err := cl.Health(ctx)
	if err == nil && h.Store != mark.Store {
		return "", fmt.Errorf("--working-dir %s and the address %s are of two servers: the directory has store %s, the server store %s; leave one of them out: %w",
			a.dir, address(o), mark.Store, h.Store, flawless.Invalid)
	}
	return mark.Store, nil // where there is no answer, the command itself is told why
}

// address is where a client looks for its server.
func address(o client.Options) string {
	host, port, err := net.SplitHostPort(o.Socket)
	if err != nil {
		return o.Socket
	}
	if o.Port != 0 {
		port = strconv.Itoa(o.Port)
	}
	return net.JoinHostPort(host, port)
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// reachable is where this machine reaches a server: one that listens everywhere does so on the loopback
// interface.
func reachable(s *workdir.Server) (socket string, port int, err error) {
	udp, err := netip.ParseAddrPort(s.UDP)
	if err != nil {
		return "", 0, err
	}
	tcp, err := netip.ParseAddrPort(s.TCP)
	if err != nil {
		return "", 0, err
	}
	host := udp.Addr()
	if host.IsUnspecified() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if udp.Addr().Is6() && !tcp.Addr().Is4() {
			host = netip.IPv6Loopback()
		}
	}
	return net.JoinHostPort(host.String(), strconv.Itoa(int(udp.Port()))), int(tcp.Port()), nil
}
