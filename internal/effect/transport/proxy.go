package transport

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/flawless-engine/flawless"
)

// maxTunnelHead is the longest answer of a proxy to CONNECT, in bytes.
const maxTunnelHead = 64 << 10

// Proxy says which requests go through a proxy. The zero value sends none there.
//
// Requests are tunnelled with CONNECT (RFC 9110, section 9.3.6), also those to http:// URLs: a proxy that reads plain
// HTTP could answer in the server's place or send a request twice, and the engine would not know. If anything goes
// wrong before the tunnel is open, nothing of the request was sent.
type Proxy struct {
	// URL is the address of the proxy for https:// URLs, PlainURL that of the proxy for http:// URLs. Its scheme is
	// http or https. User and password are sent to it in the header Proxy-Authorization.
	URL, PlainURL string

	// Except lists the hosts that are reached directly, separated by commas: names (and all names below them), .names
	// (only the names below), addresses, and ranges such as 10.0.0.0/8, each with an optional port. Loopback addresses
	// and localhost are always reached directly.
	Except string
}

// ProxyFromEnvironment returns the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name, in upper or lower case.
func ProxyFromEnvironment() Proxy {
	e := httpproxy.FromEnvironment()
	return Proxy{URL: e.HTTPSProxy, PlainURL: e.HTTPProxy, Except: e.NoProxy}
}

// None reports whether no request goes through a proxy.
func (p Proxy) None() bool { return p.URL == "" && p.PlainURL == "" }

// Check returns flawless.Invalid for a proxy that cannot be used. The error quotes no password.
func (p Proxy) Check() error {
	for _, s := range []string{p.URL, p.PlainURL} {
		if s == "" {
			continue
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("the proxy's address is invalid: give http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ in front of the host if it asks for them: %w", flawless.Invalid)
		}
	}
	return nil
}

// route returns a function that returns the proxy for a server, nil if the server is reached directly.
func (p Proxy) route() func(Server) (*url.URL, error) {
	if p.None() {
		return func(Server) (*url.URL, error) { return nil, nil }
	}
	of := (&httpproxy.Config{HTTPSProxy: p.URL, HTTPProxy: p.PlainURL, NoProxy: p.Except}).ProxyFunc()
	return func(s Server) (*url.URL, error) {
		return of(&url.URL{Scheme: s.Scheme, Host: net.JoinHostPort(s.Host, s.Port)})
	}
}

// tunnel makes a connection to a server through a proxy.
func (c *Client) tunnel(ctx context.Context, proxy *url.URL, s Server) (net.Conn, error) {
	if err := c.allowThroughProxy(ctx, s); err != nil {
		return nil, err
	}
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	at := net.JoinHostPort(proxy.Hostname(), port)
	dial := c.options.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("reaching the proxy: %w", err)
	}
	if conn, err = c.connect(ctx, conn, proxy, s); err != nil {
		return nil, fmt.Errorf("proxy %s: %w", at, err)
	}
	return conn, nil
}

// connect asks a proxy for a tunnel, and closes the connection if it gets none.
func (c *Client) connect(ctx context.Context, conn net.Conn, proxy *url.URL, s Server) (_ net.Conn, err error) {
	raw := conn
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			err = errors.Join(context.Cause(ctx), err)
		}
		if err != nil {
			_ = raw.Close()
		}
	}()
	if proxy.Scheme == "https" {
		cfg := c.tls.Clone()
		cfg.ServerName, cfg.NextProtos = proxy.Hostname(), nil
		secure := tls.Client(conn, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	to := net.JoinHostPort(s.Host, s.Port)
	head := "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\nUser-Agent: flawless/" + flawless.Version + "\r\n"
	if u := proxy.User; u != nil {
		pw, _ := u.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+pw)) + "\r\n"
	}
	if _, err := conn.Write([]byte(head + "\r\n")); err != nil {
		return nil, err
	}
	status, err := tunnelStatus(conn)
	switch {
	case err != nil:
		return nil, fmt.Errorf("it did not answer CONNECT: %w", err)
	case status == http.StatusProxyAuthRequired:
		return nil, fmt.Errorf("it refuses the user or password (status %d)", status)
	case status/100 != 2:
		return nil, fmt.Errorf("it refuses a tunnel to %s: status %d %s", to, status, http.StatusText(status))
	}
	return conn, nil
}

// tunnelStatus reads the head of the answer to CONNECT and not a byte more: the next byte comes from the server.
func tunnelStatus(conn net.Conn) (int, error) {
	head := make([]byte, 0, 512)
	for b := make([]byte, 1); len(head) < maxTunnelHead; {
		if _, err := conn.Read(b); err != nil {
			return 0, err
		}
		head = append(head, b[0])
		if n := len(head); n < 4 || string(head[n-4:]) != "\r\n\r\n" {
			continue
		}
		var major, minor, status int
		if _, err := fmt.Sscanf(string(head), "HTTP/%d.%d %d", &major, &minor, &status); err != nil {
			return 0, errors.New("the answer is not HTTP")
		}
		return status, nil
	}
	return 0, fmt.Errorf("the head of the answer is longer than %d bytes", maxTunnelHead)
}
