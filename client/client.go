package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/flawless-engine/flawless"
)

// Unreachable is the error if no server answers.
const Unreachable flawless.Code = "unreachable"

// Options says how to reach the server. The zero value is the server on this machine.
type Options struct {
	Socket      string // host and UDP port for HTTP/3; "" means localhost:27288
	Port        int    // TCP port on the same host; 0 means the port of Socket
	Certificate string // PEM file with the server's certificate; not used for this machine, where any is trusted
	NoQUIC      bool   // use only HTTP over TCP
	// Token is the bearer token, if the server requires one. It is sent to another machine only over HTTP/3, which is
	// encrypted, unless NoQUIC is set.
	Token string
	// Store is the id of the store that requests are for; a server with another store rejects them with
	// flawless.Denied. "" means any store.
	Store string

	// Patience is how long a request is repeated if its answer is lost, for instance because the server restarts. Only
	// requests that are safe to repeat are, such as those with a key that the server recognises. 0 means a minute,
	// a negative value never.
	Patience time.Duration
	// Transport, if set, carries the requests instead of a connection, such as to a handler in the same process. They then
	// go to Socket over HTTP.
	Transport http.RoundTripper

	// Repeating, if set, is called with the reason when the client starts to repeat a request. It may be called
	// concurrently.
	Repeating func(why error)
}

// Client is a client of one server. It may be used concurrently.
type Client struct {
	options  Options
	host     string
	tcp      *http.Client
	quic     *http.Client
	h3       *http3.Transport
	choose   sync.Once
	base     string
	http     *http.Client
	loopback bool
	patience time.Duration
}

// New returns a client. It does not connect yet.
func New(o Options) (*Client, error) {
	if o.Socket == "" {
		o.Socket = "localhost:27288"
	}
	host, port, err := net.SplitHostPort(o.Socket)
	if err != nil {
		return nil, fmt.Errorf("the socket %q is not host:port: %w", o.Socket, flawless.Invalid)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("the socket %q has the port %q; use a number up to 65535: %w", o.Socket, port, flawless.Invalid)
	}
	o.Port = cmp.Or(o.Port, int(number))
	c := &Client{options: o, host: host, patience: cmp.Or(o.Patience, defaultPatience)}
	ip := net.ParseIP(host)
	c.loopback = host == "localhost" || ip != nil && ip.IsLoopback()
	// Traffic to this machine does not leave it, so any certificate is fine.
	trust := &tls.Config{InsecureSkipVerify: c.loopback, MinVersion: tls.VersionTLS13}
	if o.Certificate != "" && !c.loopback {
		pem, err := os.ReadFile(o.Certificate)
		if err != nil {
			return nil, fmt.Errorf("reading the server's certificate: %w", err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s contains no certificate: %w", o.Certificate, flawless.Invalid)
		}
	}
	c.h3 = &http3.Transport{TLSClientConfig: trust, QUICConfig: &quic.Config{HandshakeIdleTimeout: 300 * time.Millisecond, MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 3 * time.Second}}
	c.quic = &http.Client{Transport: c.h3}
	c.tcp = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, IdleConnTimeout: time.Minute}}
	if o.Transport != nil {
		c.options.NoQUIC, c.tcp.Transport = true, o.Transport
	}
	return c, nil
}

// Close closes all connections.
func (c *Client) Close() error {
	c.tcp.CloseIdleConnections()
	return c.h3.Close()
}

// reach finds out which protocol the server answers.
func (c *Client) reach(ctx context.Context) {
	c.choose.Do(func() {
		c.base, c.http = "http://"+net.JoinHostPort(c.host, strconv.Itoa(c.options.Port)), c.tcp
		if c.options.NoQUIC {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
		defer cancel()
		base := "https://" + c.options.Socket
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/version", nil)
		if err != nil {
			return
		}
		resp, err := c.quic.Do(req)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusMisdirectedRequest {
			c.base, c.http = base, c.quic
		}
	})
}

// Protocol returns the protocol in use, "HTTP/3" or "HTTP".
func (c *Client) Protocol(ctx context.Context) string {
	if c.reach(ctx); c.http == c.quic {
		return "HTTP/3"
	}
	return "HTTP"
}

type request struct {
	method, path string
	query        url.Values
	body         []byte
	read         func(r io.Reader) io.Reader // wraps the reader of the body; may be nil
	kind         string                      // Content-Type
	accept       string
	last         string // Last-Event-ID
	again        again  // required except for GET
}

// send makes a request once and returns the response unless it is a problem.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	if r.method != http.MethodGet && r.again == (again{}) {
		return nil, fmt.Errorf("client: %s %s does not declare what to do if its answer is lost", r.method, r.path)
	}
	if c.reach(ctx); c.http == c.tcp && c.options.Token != "" && !c.loopback && !c.options.NoQUIC {
		return nil, fmt.Errorf("the server does not answer over HTTP/3 at %s, and the token is not sent over unencrypted TCP unless you use --tcp: %w", c.options.Socket, flawless.Denied)
	}
	u := c.base + "/api/v1" + r.path
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		if body = bytes.NewReader(r.body); r.read != nil {
			body = r.read(body)
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, body)
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // nothing is sent twice without the caller's knowledge
	req.ContentLength = int64(len(r.body))
	for name, v := range map[string]string{"Content-Type": r.kind, "Accept": r.accept, "Last-Event-ID": r.last, "Authorization": c.bearer(), flawless.StoreHeader: c.options.Store} {
		if v != "" {
			req.Header.Set(name, v)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &broken{c.base, err, !unsent(err)}
	}
	if resp.StatusCode >= 400 && !(r.path == "/health" && resp.StatusCode == http.StatusServiceUnavailable) {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return nil, refusal(resp.StatusCode, b)
	}
	return resp, nil
}

// bearer returns the Authorization header, or "".
func (c *Client) bearer() string {
	if c.options.Token == "" {
		return ""
	}
	return "Bearer " + c.options.Token
}

// refusal converts a problem to an error.
func refusal(status int, b []byte) error {
	var p struct {
		Title, Detail string
		Code          flawless.Code
		Errors        []Fault
	}
	if json.Unmarshal(b, &p) != nil || p.Detail == "" && p.Title == "" {
		return fmt.Errorf("the answer (status %d) does not come from a Flawless server; check the address, and any proxy in between. It said: %.200q", status, bytes.TrimSpace(b))
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	for _, e := range p.Errors {
		if e.Location != "" && !strings.Contains(p.Detail, e.Message) {
			p.Detail += fmt.Sprintf("; %s: %s", e.Location, e.Message)
		}
	}
	if p.Code == "" {
		if status == http.StatusBadRequest || status == http.StatusUnprocessableEntity {
			p.Code = flawless.Invalid
		}
	}
	return &Refusal{Status: status, Detail: p.Detail, Code: p.Code, Faults: p.Errors}
}

// Refusal is the error of a request that the server rejected. It wraps the flawless.Code.
type Refusal struct {
	Status int
	Detail string
	Code   flawless.Code
	Faults []Fault // the invalid parts of the request, which Detail names, too
}

// Fault is an invalid part of a request.
type Fault struct {
	Message  string
	Location string // in the request, such as body.labels or query.limit
	Field    string // in an input, a message or the value of a promise, such as items.0.price; "" is the whole
}

func (r *Refusal) Error() string {
	if r.Code != "" {
		return strings.TrimSuffix(r.Detail, ": "+string(r.Code))
	}
	return r.Detail
}

// Unwrap returns Code.
func (r *Refusal) Unwrap() error {
	if r.Code == "" {
		return nil
	}
	return r.Code
}

// get fetches a JSON document.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return do[T](ctx, c, request{method: http.MethodGet, path: path, query: query})
}

// paged fetches a page of a list, and reports whether there are more.
func paged[T any](ctx context.Context, c *Client, path string, query url.Values) (page []T, more bool, err error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: path, query: query})
	if err == nil {
		more = resp.Header.Get("Link") != ""
	}
	page, err = document[[]T](resp, err)
	return page, more, err
}

// list fetches all pages of a list.
func list[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	all, query := []T{}, url.Values{"limit": {"1000"}}
	for {
		resp, err := c.send(ctx, request{method: http.MethodGet, path: path, query: query})
		link := ""
		if err == nil {
			link = resp.Header.Get("Link")
		}
		page, err := document[[]T](resp, err)
		all = append(all, page...)
		if err != nil || link == "" || len(page) == 0 {
			return all, err
		}
		if query, err = nextPage(link); err != nil {
			return all, err
		}
	}
}

// nextPage returns the query of the page that a Link header names.
func nextPage(link string) (url.Values, error) {
	target, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	u, err := url.Parse(target)
	if err != nil || u.Query().Get("from") == "" {
		return nil, fmt.Errorf("the server returned %q as the link to the next page, which this version of flawless (%s) does not understand; use the version of the server", link, flawless.Version)
	}
	return u.Query(), nil
}

// post sends a JSON document with method POST and returns the one in the response.
func post[T any](ctx context.Context, c *Client, path string, query url.Values, in any, a again) (T, error) {
	return update[T](ctx, c, http.MethodPost, path, query, in, a)
}

// update sends a JSON document and returns the one in the response.
func update[T any](ctx context.Context, c *Client, method, path string, query url.Values, in any, a again) (T, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return *new(T), err
	}
	return do[T](ctx, c, request{method: method, path: path, query: query, body: b, kind: "application/json", again: a})
}

func document[T any](resp *http.Response, err error) (T, error) {
	var out T
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&out)
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax) || errors.As(err, &wrong):
		err = fmt.Errorf("reading the server's answer: %w", err)
	case err != nil: // the response broke off
		err = &broken{resp.Request.URL.Scheme + "://" + resp.Request.URL.Host, err, true}
	}
	return out, err
}

// Version returns the version of the server and what it was built from.
func (c *Client) Version(ctx context.Context) (flawless.Build, error) {
	return get[flawless.Build](ctx, c, "/version", nil)
}

// Health returns the condition of the server.
func (c *Client) Health(ctx context.Context) (flawless.Health, error) {
	return get[flawless.Health](ctx, c, "/health", nil)
}

var errCut = errors.New("the server closed the stream")
