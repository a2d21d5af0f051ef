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
		return nil, fmt.Errorf("no server is running on %s; start one with: flawless --working-dir %s up, or give the address of another with --socket: %w", a.dir, a.dir, noServer)
	case s == nil:
		return nil, nil
	}
	if o.Socket, o.Port, err = reachable(s); err != nil {
		return nil, fmt.Errorf("the address file that the server wrote into %s is invalid: %v: %w", a.dir, err, flawless.Invalid)
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
	return nil, fmt.Errorf("the server of %s (process %d on %s) was killed or is still starting (%v); start it with: flawless --working-dir %s up: %w",
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
		return "", fmt.Errorf("--working-dir %s has no store, so the server at %s cannot belong to it; give either --working-dir or the address, not both: %w",
			a.dir, address(o), flawless.Invalid)
	}
	cl, err := client.New(o)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	h, err := cl.Health(ctx)
	if err == nil && h.Store != mark.Store {
		return "", fmt.Errorf("--working-dir %s and the address %s belong to different servers: the directory has store %s, the server has store %s; give only one of them: %w",
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
