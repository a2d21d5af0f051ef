// Package nethttp lets net/http clients, and the libraries built on them, call through the engine.
//
// It guarantees what package flawless guarantees of its calls: every request is durable and is kept
// from being sent twice unless it is idempotent. It never opens a connection of its own. Options of
// a call are given in the request's context, see flawless.With.
//
// In a module that flawless build has built, an http.Transport calls through the engine, too, as soon as this
// package is imported: clients that libraries make for themselves work. What such a transport says of proxies,
// dialers and certificate authorities has no effect, and one with a client certificate is refused.
//
// A response is handed over when all of it has come, unless the request's context says otherwise:
//
//	ctx = flawless.With(ctx, flawless.Stream())
//
// makes its Body one that is read as the response comes, such as server-sent events. Nothing turns this on by
// itself, not even Accept: text/event-stream, because a response that breaks off counts as answered then.
//
// Request bodies are in memory as a whole. A module grows by about 8 MB through net/http.
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

// Transport is an http.RoundTripper whose requests are calls of the run. The zero value is ready;
// it may be used concurrently.
//
// It reads the whole request body before the call is made, and hands out the whole response body, but for
// flawless.Stream.
// It follows no redirects and keeps no cookies, http.Client does. Errors are those of flawless.Do,
// which http.Client wraps: use errors.As. A response longer than the limit of the call is no such error: it has
// its status and no header, and reading its Body returns the *flawless.TooLarge.
//
// A time-out of the http.Client, the request's context and its Cancel channel end a request as
// flawless.Do says: one that is under way and not idempotent is waited for, and its response returned,
// so that a library that tries again by itself does not send it twice.
//
// Trailers, Upgrade and 1xx responses are not passed on.
type Transport struct{}

// Client returns a new http.Client that calls through the engine.
func Client() *http.Client { return &http.Client{Transport: Transport{}} }

// Install makes the engine the transport of http.DefaultClient and of every client that names none,
// by setting http.DefaultTransport. Call it in func main, before workflows are offered.
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

// answered returns the response of a request whose answer is longer than its limit, as far as it is known: the
// status. Its body cannot be read. A library that was told of an error in place of a response would take the
// request for one that has failed, and make it again. Other errors are returned.
func answered(req *http.Request, err error) (*http.Response, error) {
	var large *flawless.TooLarge
	if !errors.As(err, &large) {
		return nil, err
	}
	out := response(req, &flawless.Response{Status: large.Status})
	out.Body, out.ContentLength = unreadable{err}, -1
	return out, nil
}

// unreadable is a body that fails when it is read.
type unreadable struct{ err error }

func (u unreadable) Read([]byte) (int, error) { return 0, u.err }

func (unreadable) Close() error { return nil }

// stream is a body that is read as it comes, under a context that ends with it.
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

// plainURL is a URL as it is called: user and password in it are sent in the Authorization header alone.
func plainURL(u *url.URL) string {
	if u.User == nil {
		return u.String()
	}
	plain := *u
	plain.User = nil
	return plain.String()
}

// instead carries out a request in the place of an http.Transport.
func instead(t *http.Transport, req *http.Request) (*http.Response, error) {
	if c := t.TLSClientConfig; c != nil && (len(c.Certificates) > 0 || c.GetClientCertificate != nil) {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errCertificate
	}
	return Transport{}.RoundTrip(req)
}

var errCertificate = errors.New("nethttp: the http.Transport has a client certificate; the engine makes the TLS connection and has none")

var errCancelled = errors.New("net/http: request canceled")

// within returns the context of a request, which ends also when its Cancel channel is closed. http.Client
// closes that when its Timeout has passed, beside setting a deadline.
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
			<-ctx.Done() // in this moment; the engine has to know that it was a deadline
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
		return nil, fmt.Errorf("the body of %s %s cannot be read: %w", req.Method, req.URL.Redacted(), err)
	}
	if req.ContentLength > 0 && req.ContentLength != int64(len(body)) {
		return nil, fmt.Errorf("the body of %s %s has %d bytes, its ContentLength is %d", req.Method, req.URL.Redacted(), len(body), req.ContentLength)
	}
	return body, nil
}

// header returns the fields sorted by name: the order of a map would make equal requests look
// different in a replay.
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

// announced returns the length that the head of a response tells, or -1.
func announced(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
