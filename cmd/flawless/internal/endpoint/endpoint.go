// Package endpoint finds the server that a command is for, and connects to it.
//
// Flags and the environment can name a working directory or an address. A command must never reach another
// server than the one that they mean, even after a crash or if another server has taken over the address:
// what is meant for one server must not happen to another. The package reads the working directory and
// connects; it starts no server and has no other use for flags.
package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// NoServer is the class of the error for a working directory on which no server runs.
const NoServer flawless.Code = "no server is running in the directory"

// Endpoint is the server that a command is for. The first fields are set by flags, the others by Resolve.
type Endpoint struct {
	Dir       string
	Socket    string
	Port      int
	TCP       bool
	TokenFile string

	FreePort  bool // up may listen on any TCP port
	named     bool // a flag or the environment names the working directory
	addressed bool // a flag or the environment names the address
	both      bool // flags name the directory and the address
	portOnly  bool // flags name the TCP port, but not the socket

	tcp int // port of the server, once Connect has found it
}

// Resolve fills in what the flags leave open, from the environment and then from the defaults. changed
// reports whether a flag is given. The address in the working directory is looked up by Connect, because some
// commands do not need it.
func (t *Endpoint) Resolve(changed func(flag string) bool) error {
	if t.Dir == "" {
		t.Dir = os.Getenv("FLAWLESS_WORKING_DIR")
	}
	if t.named = t.Dir != ""; !t.named {
		var err error
		if t.Dir, err = defaultDir(runtime.GOOS, os.Getenv, homeDir); err != nil {
			return err
		}
	}
	if t.Socket == "" {
		t.Socket = os.Getenv("FLAWLESS_SOCKET")
	}
	port := changed("port")
	t.addressed, t.FreePort = t.Socket != "" || port, port && t.Port == 0
	if changed("working-dir") { // a flag takes precedence over the environment
		t.addressed = port || changed("socket")
		t.both = t.addressed
	}
	t.portOnly = port && !changed("socket")
	switch {
	case t.Socket != "":
	case t.FreePort:
		t.Socket = "localhost:0"
	default:
		t.Socket = "localhost:27288"
	}
	return nil
}

// Connect returns a client of the server. Before the client repeats a request, it calls repeating with the
// reason.
func (t *Endpoint) Connect(ctx context.Context, repeating func(why error)) (*client.Client, error) {
	cert := filepath.Join(t.Dir, "tls", "cert.pem")
	if _, err := os.Stat(cert); err != nil {
		cert = ""
	}
	token, err := t.Token()
	if err != nil {
		return nil, err
	}
	o := client.Options{Socket: t.Socket, Port: t.Port, Certificate: cert, NoQUIC: t.TCP, Token: token, Repeating: repeating}
	t.tcp = t.Port
	if host, _, err := net.SplitHostPort(t.Socket); err == nil && t.portOnly && loopback(host) {
		o.NoQUIC = true // over UDP, another server on this machine might answer
	}
	if t.both {
		if o.Store, err = t.sameStore(ctx, o); err != nil {
			return nil, err
		}
	}
	if !t.addressed {
		if cl, err := t.find(ctx, o); err != nil || cl != nil {
			return cl, err
		}
	}
	return client.New(o)
}

// Console returns the URL of the console of the server, without a path. Call it after Connect, which finds the address.
func (t *Endpoint) Console() string {
	return "http://" + address(client.Options{Socket: t.Socket, Port: t.tcp})
}

// find returns a client of the server that runs on the working directory, from the address file that it has
// written there. It returns nil to use the default address: nothing names the directory, and no server answers
// there. For a directory that is named there is no such fallback.
func (t *Endpoint) find(ctx context.Context, o client.Options) (*client.Client, error) {
	s, err := workdir.FindServer(t.Dir)
	switch {
	case err != nil:
		return nil, err
	case s == nil && t.named:
		return nil, fmt.Errorf("no server is running on %s; start one with: flawless --working-dir %s up, or give the address of another with --socket: %w", t.Dir, t.Dir, NoServer)
	case s == nil:
		return nil, nil
	}
	o.NoQUIC = o.NoQUIC || s.UDP == ""
	if o.Socket, o.Port, err = reachable(s); err != nil {
		return nil, fmt.Errorf("the address file that the server wrote into %s is invalid: %v: %w", t.Dir, err, flawless.Invalid)
	}
	o.Store = s.Store
	cl, err := client.New(o)
	if err != nil {
		return nil, err
	}
	_, err = cl.Version(ctx)
	var refused *client.Refusal
	if err == nil || errors.As(err, &refused) && refused.Status != http.StatusMisdirectedRequest { // let the command report a refusal
		t.Socket, t.tcp = o.Socket, o.Port
		return cl, nil
	}
	_ = cl.Close()
	switch {
	case ctx.Err() != nil:
		return nil, err
	case !t.named:
		return nil, nil // it was killed, or another server has its address now
	}
	return nil, fmt.Errorf("the server of %s (process %d on %s) was killed or is still starting (%v); start it with: flawless --working-dir %s up: %w",
		t.Dir, s.PID, s.Host, err, t.Dir, NoServer)
}

// sameStore returns the id of the store in the working directory, if flags name both a directory and an address.
// It returns [flawless.Invalid] if they belong to different servers.
func (t *Endpoint) sameStore(ctx context.Context, o client.Options) (string, error) {
	mark, err := workdir.Look(filepath.Join(t.Dir, "store"))
	if err != nil {
		return "", err
	}
	if mark == nil { // its server may have the store in a database
		s, err := workdir.FindServer(t.Dir)
		if err != nil {
			return "", err
		}
		if s != nil {
			mark = &workdir.Mark{Store: s.Store}
		}
	}
	if mark == nil {
		return "", fmt.Errorf("--working-dir %s has no store, so the server at %s cannot belong to it; give either --working-dir or the address, not both: %w",
			t.Dir, address(o), flawless.Invalid)
	}
	cl, err := client.New(o)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	h, err := cl.Health(ctx)
	if err == nil && h.Store != mark.Store {
		return "", fmt.Errorf("--working-dir %s and the address %s belong to different servers: the directory has store %s, the server has store %s; give only one of them: %w",
			t.Dir, address(o), mark.Store, h.Store, flawless.Invalid)
	}
	return mark.Store, nil // if there was no answer, the command reports why
}

// address returns the address for TCP that a client uses.
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

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// reachable returns the addresses at which this machine reaches a server. For a server that listens on all
// interfaces, that is the loopback interface. For a server without HTTP/3, socket has its TCP port.
func reachable(s *workdir.Server) (socket string, port int, err error) {
	udp, err := netip.ParseAddrPort(cmp.Or(s.UDP, s.TCP))
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
