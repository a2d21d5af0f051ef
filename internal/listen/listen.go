// Package listen accepts connections over TCP and UDP, and blocks requests that must not reach the API.
//
// It serves one handler over HTTP/1.1, HTTP/2 and HTTP/3. It limits the number of connections, disconnects
// clients that send or read too slowly, and refuses the requests that a web page of another origin made a
// browser send, before anything of them is read. It knows nothing of the API except the form of a refusal.
package listen

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/errno"
)

// Address says where a server listens, and for whom.
type Address struct {
	Socket         string // UDP, for HTTP/3: host and port
	Port           int    // TCP, for HTTP/1.1 and HTTP/2, on the host of Socket; 0 is any free port
	MaxConnections int    // maximum number of open TCP connections; 0 is unlimited
	Dir            string // where the certificate is kept, in tls/cert.pem and tls/key.pem
	Pace           Pace   // minimum speed of clients

	// Names are additional hosts or URLs of the server. Requests for a host other than these, the host of
	// Socket and the loopback interface are refused.
	Names []string

	NoUDP bool // serve HTTP/1.1 and HTTP/2 only

	listenPacket func(network, address string) (net.PacketConn, error) // nil is net.ListenPacket
	silence      time.Duration                                         // of a connection over HTTP/3; 0 is idle and headers
	maxQUIC      int64                                                 // connections over HTTP/3; 0 is the constant
}

// Listener is a server that owns its ports.
type Listener struct {
	log   *slog.Logger
	pace  Pace
	guard *guard
	tcp   net.Listener
	udp   net.PacketConn // nil without HTTP/3
	http  *http.Server
	quic  *http3.Server // nil without HTTP/3
	limit *quicLimits
	tasks sync.WaitGroup
}

// Listen opens the ports. It returns [flawless.Conflict] if one is in use. Where the system has no UDP, it logs a warning
// and serves without HTTP/3. If there is no certificate, it creates a self-signed one.
func Listen(a Address, log *slog.Logger) (*Listener, error) {
	host, port, err := net.SplitHostPort(a.Socket)
	if err != nil {
		return nil, fmt.Errorf("the socket %q is not host:port: %w", a.Socket, flawless.Invalid)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("the socket %q has the port %q; use a number up to 65535: %w", a.Socket, port, flawless.Invalid)
	}
	cert, err := certificate(filepath.Join(a.Dir, "tls"), host)
	if err != nil {
		return nil, err
	}
	l := &Listener{log: log, pace: a.Pace}
	if l.tcp, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(a.Port))); err != nil {
		return nil, listenError("tcp port "+strconv.Itoa(a.Port), host, "--port", err)
	}
	if tcp, ok := l.tcp.(*net.TCPListener); ok && a.MaxConnections > 0 {
		l.tcp = limitConnections(tcp, a.MaxConnections, log)
	}
	if !a.NoUDP {
		if err := l.listenUDP(a, cert); err != nil {
			_ = l.tcp.Close()
			return nil, err
		}
	}
	if l.guard, err = newGuard(append(ownNames(a.Socket, l.Local()), a.Names...), l.Local(), nil); err != nil {
		_ = l.tcp.Close()
		if l.udp != nil {
			_ = l.udp.Close()
		}
		return nil, err
	}
	l.http = NewServer(log)
	return l, nil
}

// listenUDP opens the socket for HTTP/3. Everything works without it, so the server also starts where there is no UDP, as in
// some sandboxes. But a port in use is an error, because it may belong to another server.
func (l *Listener) listenUDP(a Address, cert tls.Certificate) error {
	open := a.listenPacket
	if open == nil {
		open = net.ListenPacket
	}
	udp, err := open("udp", a.Socket)
	switch {
	case errno.AddressInUse(err):
		return listenError("udp socket "+a.Socket, a.Socket, "--socket", err)
	case err != nil:
		l.log.Warn("UDP is not available, serving without HTTP/3", "socket", a.Socket, "error", err)
		return nil
	}
	setReadBuffer(udp, wantedBuffer, l.log)
	l.udp = udp
	l.limit = &quicLimits{log: l.log, max: cmp.Or(a.maxQUIC, maxQUIC), silence: cmp.Or(a.silence, idle+headers)}
	l.quic = &http3.Server{
		TLSConfig:  http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}),
		QUICConfig: &quic.Config{}, // without 0-RTT, whose requests somebody between could send again
		// While a stream is open, this time does not count. quicLimits ends streams that stay without a request.
		IdleTimeout: idle, ConnContext: l.limit.context,
	}
	return nil
}

// idle is how long a connection without a request is kept open.
const idle = 2 * time.Minute

// NewServer returns a server for HTTP/1.1 and HTTP/2 without a handler. [Pace] limits the time of a request.
func NewServer(log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Protocols: protocols, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: idle,
		// Ping silent connections, so that one that breaks off in the middle of a frame is closed.
		HTTP2:    &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 30 * time.Second},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

// listenError explains why a port cannot be opened.
func listenError(what, host, flag string, err error) error {
	if errno.AddressInUse(err) {
		return fmt.Errorf("%s is in use, perhaps by another server: stop that server, or choose another with %s: %w", what, flag, flawless.Conflict)
	}
	if lookup := new(net.DNSError); errors.As(err, &lookup) {
		return fmt.Errorf("listening on %s: there is no host %q; use an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all: %w", what, lookup.Name, flawless.Invalid)
	}
	switch {
	case errno.NotLocal(err):
		return fmt.Errorf("listening on %s: %s is not an address of this machine; use one that is, or 0.0.0.0 for all: %w", what, host, flawless.Invalid)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("listening on %s: %v; choose another port with %s, above 1023: %w", what, err, flag, flawless.Invalid)
	}
	return fmt.Errorf("listening on %s: %w", what, err)
}

// TCP returns the address for HTTP/1.1 and HTTP/2.
func (l *Listener) TCP() string { return l.tcp.Addr().String() }

// UDP returns the address for HTTP/3, or "" without it.
func (l *Listener) UDP() string {
	if l.udp == nil {
		return ""
	}
	return l.udp.LocalAddr().String()
}

// Local reports whether only this machine can reach the server.
func (l *Listener) Local() bool {
	a, is := l.tcp.Addr().(*net.TCPAddr)
	return is && a.IP.IsLoopback()
}

// NotSelf returns an error for an address of this server. It is a policy for the calls of runs: a run that can
// call the API has all rights of the operator. host is the one in the URL of the call.
func (l *Listener) NotSelf(host string, to netip.AddrPort) error {
	if !reaches(l.tcp.Addr(), to) && (l.udp == nil || !reaches(l.udp.LocalAddr(), to)) {
		return nil
	}
	return fmt.Errorf("%s is this server itself (%s), which runs may not call; to allow it, start the server with --allow-self-calls",
		net.JoinHostPort(host, strconv.Itoa(int(to.Port()))), to)
}

// reaches reports whether a connection to an address arrives at a listener. On both sides, the unspecified
// address stands for this machine.
// Reachable returns the addresses at which others reach the listener, address:port: those of all interfaces, if it listens on
// all of them. Loopback addresses are among them, which only programs on this machine reach.
func (l *Listener) Reachable() []string {
	listeners := []net.Addr{l.tcp.Addr()}
	if l.udp != nil {
		listeners = append(listeners, l.udp.LocalAddr())
	}
	var all []string
	for _, a := range listeners {
		at, err := netip.ParseAddrPort(a.String())
		if err != nil {
			continue
		}
		ips := []netip.Addr{at.Addr()}
		if at.Addr().IsUnspecified() {
			ips = nil
			own, _ := net.InterfaceAddrs()
			for _, o := range own {
				if p, err := netip.ParsePrefix(o.String()); err == nil {
					ips = append(ips, p.Addr())
				}
			}
		}
		for _, ip := range ips {
			if text := netip.AddrPortFrom(ip.Unmap().WithZone(""), at.Port()).String(); !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return all
}

func reaches(listener net.Addr, to netip.AddrPort) bool {
	at, err := netip.ParseAddrPort(listener.String())
	if err != nil || at.Port() != to.Port() {
		return false
	}
	own, ip := at.Addr().Unmap().WithZone(""), to.Addr().Unmap().WithZone("")
	switch {
	case ip == own || ip.IsUnspecified():
		return true
	case !own.IsUnspecified():
		return false
	case ip.IsLoopback():
		return true
	}
	all, err := net.InterfaceAddrs() // they may change while the server runs
	if err != nil {
		return true
	}
	return slices.ContainsFunc(all, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap() == ip
	})
}

// Serve serves h in the background until Close.
func (l *Listener) Serve(h http.Handler) {
	l.guard.next = l.pace.Enforce(h)
	l.guard.pages, _ = h.(linkable)
	l.http.Handler = l.guard
	l.tasks.Go(func() {
		if err := l.http.Serve(l.tcp); !errors.Is(err, http.ErrServerClosed) {
			l.log.Error("serving over TCP failed", "error", err)
		}
	})
	if l.quic == nil {
		return
	}
	l.quic.Handler = l.limit.enforce(l.guard)
	l.tasks.Go(func() {
		if err := l.quic.Serve(l.udp); !errors.Is(err, http.ErrServerClosed) {
			l.log.Error("serving over UDP failed", "error", err)
		}
	})
}

// Close accepts no more requests, and waits for those in progress until ctx ends.
func (l *Listener) Close(ctx context.Context) error {
	err := l.http.Shutdown(ctx)
	if err != nil {
		_ = l.http.Close()
	}
	if l.quic != nil {
		if e := l.quic.Shutdown(ctx); e != nil {
			_ = l.quic.Close()
			err = errors.Join(err, e)
		}
		_ = l.udp.Close()
	}
	_ = l.tcp.Close()
	l.tasks.Wait()
	return err
}

// certificate reads the certificate. If there is none or it is about to expire, it creates one.
func certificate(dir, host string) (tls.Certificate, error) {
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if c, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil && c.Leaf != nil && time.Until(c.Leaf.NotAfter) > 24*time.Hour {
		return c, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "flawless"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = append(t.IPAddresses, ip)
	} else if host != "" {
		t.DNSNames = append(t.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	if err := os.MkdirAll(dir, 0o700); err == nil {
		err = errors.Join(os.WriteFile(certFile, certPEM, 0o644), os.WriteFile(keyFile, keyPEM, 0o600))
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("writing the certificate to %s: %w", dir, err)
		}
	} else {
		return tls.Certificate{}, fmt.Errorf("writing the certificate to %s: %w", dir, err)
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}
