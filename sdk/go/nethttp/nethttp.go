// Package nethttp makes net/http clients, and libraries built on them, call through the engine.
//
// It gives the guarantees of package flawless: every request is durable, and is never sent twice unless it is
// idempotent. It never opens a connection itself. Pass options of a call in the context of the request, see
// flawless.With.
//
// In a module built with flawless build, any http.Transport calls through the engine as soon as this package is
// imported, so clients that libraries make for themselves work, too. Their settings for proxies, dialers and
// certificate authorities have no effect, and a transport with a client certificate returns an error.
//
// By default a response is returned when all of it has arrived. To read the Body as it arrives, for instance
// server-sent events, ask for it in the context of the request:
//
//	ctx = flawless.With(ctx, flawless.Stream())
//
// No header turns this on, not even Accept: text/event-stream, because a streamed response that breaks off counts as
// answered.
//
// Request bodies are held in memory as a whole. net/http adds about 8 MB to a module.
package nethttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Transport is an http.RoundTripper whose requests are calls of the run. The zero value is ready to use; it may be
// used concurrently.
//
// It reads the whole request body before it makes the call, and returns the whole response body unless the context
// has flawless.Stream. It neither follows redirects nor keeps cookies; http.Client does. Its errors are those of
// flawless.Do, which http.Client wraps: use errors.As. There is one exception: a response longer than the limit of
// the call is returned with its status and no header, and reading its Body returns the *flawless.TooLarge.
//
// If the http.Client times out, or the context or the Cancel channel of the request ends, the request ends as
// described at flawless.Do: one that is in flight and not idempotent is awaited, and its response returned, so that a
// library with its own retries does not send it twice.
//
// Trailers, Upgrade and 1xx responses are not supported.
type Transport struct{}

// Client returns a new http.Client that calls through the engine.
func Client() *http.Client { return &http.Client{Transport: Transport{}} }

// Install makes the engine the transport of http.DefaultClient and of every client without a Transport, by setting
// http.DefaultTransport. Call it in func main, before you register workflows.
func Install() { http.DefaultTransport = Transport{} }

// RoundTrip implements http.RoundTripper.
func (Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := readBody(req)
	if err != nil {
		return nil, err
	}
	call := flawless.Request{Method: req.Method, URL: plainURL(req.URL), Header: header(req), Body: body}
	ctx, done := within(req)
	resp, err := flawless.Do(ctx, call, flawless.Redirects(0))
	if err != nil {
		done()
		return answered(req, err)
	}
	out := response(req, resp)
	if resp.Stream != nil {
		out.Body = &stream{resp.Stream, done}
	} else {
		done()
	}
	return out, nil
}

// answered returns what is known of a response that is longer than its limit: the status. Its body cannot be read. A
// library that got an error instead would think that the request has failed, and make it again. It returns any other
// error.
func answered(req *http.Request, err error) (*http.Response, error) {
	var large *flawless.TooLarge
	if !errors.As(err, &large) {
		return nil, err
	}
	out := response(req, &flawless.Response{Status: large.Status})
	out.Body, out.ContentLength = unreadable{err}, -1
	return out, nil
}

// unreadable is a body whose Read fails.
type unreadable struct{ err error }

func (u unreadable) Read([]byte) (int, error) { return 0, u.err }

func (unreadable) Close() error { return nil }

// stream is a body that is read as it arrives; its context ends with it.
type stream struct {
	io.ReadCloser
	done func()
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil {
		s.done()
	}
	return n, err
}

func (s *stream) Close() error {
	err := s.ReadCloser.Close()
	s.done()
	return err
}

// plainURL returns a URL without user and password, which are sent only in the Authorization header.
func plainURL(u *url.URL) string {
	if u.User == nil {
		return u.String()
	}
	plain := *u
	plain.User = nil
	return plain.String()
}

// instead carries out a request in place of an http.Transport.
func instead(t *http.Transport, req *http.Request) (*http.Response, error) {
	if c := t.TLSClientConfig; c != nil && (len(c.Certificates) > 0 || c.GetClientCertificate != nil) {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errCertificate
	}
	return Transport{}.RoundTrip(req)
}

var errCertificate = errors.New("nethttp: client certificates are not supported: the engine makes the TLS connection; remove the certificate from the http.Transport")

var errCancelled = errors.New("net/http: request canceled")

// within returns the context of a request, which also ends when its Cancel channel is closed. http.Client closes that
// when its Timeout has passed, in addition to setting a deadline.
func within(req *http.Request) (ctx context.Context, done func()) {
	stop := req.Cancel //lint:ignore SA1019 it is how http.Client tells a transport of its Timeout
	if stop == nil {
		return req.Context(), func() {}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-stop:
		}
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			<-ctx.Done() // at once; the engine must know that it was a deadline
		}
		cancel(errCancelled)
	}()
	return ctx, func() { cancel(nil) }
}

// readBody reads and closes the body.
func readBody(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	if closeErr := req.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("reading the body of %s %s: %w", req.Method, req.URL.Redacted(), err)
	}
	if req.ContentLength > 0 && req.ContentLength != int64(len(body)) {
		return nil, fmt.Errorf("the body of %s %s has %d bytes, its ContentLength is %d", req.Method, req.URL.Redacted(), len(body), req.ContentLength)
	}
	return body, nil
}

// header returns the fields sorted by name: with the order of a map, equal requests would look different in a replay.
func header(req *http.Request) flawless.Header {
	var h flawless.Header
	if req.Host != "" && req.Host != req.URL.Host {
		h.Add("Host", req.Host)
	}
	if u := req.URL.User; u != nil && req.Header.Get("Authorization") == "" { // http.Client has set it already
		password, _ := u.Password()
		h.Add("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		for _, value := range req.Header[name] {
			h.Add(name, value)
		}
	}
	return h
}

func response(req *http.Request, r *flawless.Response) *http.Response {
	h := http.Header{}
	for _, field := range r.Header {
		h.Add(field[0], field[1])
	}
	out := &http.Response{
		Status:        strconv.Itoa(r.Status) + " " + http.StatusText(r.Status),
		StatusCode:    r.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        h,
		Body:          io.NopCloser(bytes.NewReader(r.Body)),
		ContentLength: int64(len(r.Body)),
		Request:       req,
	}
	if r.Stream != nil {
		out.ContentLength = announced(h)
	}
	if req.Method == http.MethodHead {
		out.Body, out.ContentLength = http.NoBody, announced(h)
	}
	return out
}

// announced returns the Content-Length of a response, or -1.
func announced(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
