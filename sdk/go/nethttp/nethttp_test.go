package nethttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func TestRequestBecomesCall(t *testing.T) {
	t.Parallel()
	b := &body{Reader: strings.NewReader("hello")}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/a?b=c", b)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "other"
	req.Header = http.Header{"B": {"1", "2"}, "A": {"3"}}
	text, err := readBody(req)
	if err != nil || string(text) != "hello" || !b.closed {
		t.Errorf("body %q, closed %v, %v", text, b.closed, err)
	}
	want := flawless.Header{{"Host", "other"}, {"A", "3"}, {"B", "1"}, {"B", "2"}}
	got := header(req)
	if len(got) != len(want) {
		t.Fatalf("header %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("field %d is %v, want %v", i, got[i], want[i])
		}
	}
	if _, err := Client().Do(req); !errors.Is(err, flawless.ErrOutside) {
		t.Errorf("outside a workflow: %v", err)
	}
}

// TestRequestEndsWithItsClient ends a request by its context, by its Cancel channel, and by the Timeout of
// http.Client, which uses both. Only the last is a deadline, whichever of the two is noticed first.
func TestRequestEndsWithItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got context.Context
		look := roundTrip(func(req *http.Request) (*http.Response, error) {
			ctx, done := within(req)
			defer done()
			<-ctx.Done()
			got = ctx
			return nil, context.Cause(ctx)
		})
		for name, row := range map[string]struct {
			client  http.Client
			prepare func(req *http.Request) *http.Request
			want    error
		}{
			"Timeout of the client": {http.Client{Timeout: time.Second}, nil, context.DeadlineExceeded},
			"deadline of the context": {http.Client{}, func(req *http.Request) *http.Request {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				t.Cleanup(cancel)
				return req.WithContext(ctx)
			}, context.DeadlineExceeded},
			"Timeout, and a later deadline": {http.Client{Timeout: time.Second}, func(req *http.Request) *http.Request {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				t.Cleanup(cancel)
				return req.WithContext(ctx)
			}, context.DeadlineExceeded},
			"Cancel": {http.Client{}, func(req *http.Request) *http.Request {
				stop := make(chan struct{})
				req.Cancel = stop //lint:ignore SA1019 libraries use it still
				time.AfterFunc(time.Second, func() { close(stop) })
				return req
			}, context.Canceled},
			"Cancel before the Timeout": {http.Client{Timeout: time.Minute}, func(req *http.Request) *http.Request {
				stop := make(chan struct{})
				req.Cancel = stop //lint:ignore SA1019 libraries use it still
				time.AfterFunc(time.Second, func() { close(stop) })
				return req
			}, context.Canceled},
		} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if row.prepare != nil {
				req = row.prepare(req)
			}
			began := time.Now()
			row.client.Transport = look
			if _, err := row.client.Do(req); err == nil || !errors.Is(got.Err(), row.want) || time.Since(began) != time.Second {
				t.Errorf("%s: after %v the context says %v, and the client %v", name, time.Since(began), got.Err(), err)
			}
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestBrokenBodiesAreReported(t *testing.T) {
	t.Parallel()
	broken := &body{Reader: io.MultiReader(strings.NewReader("a"), failing{})}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://x/", broken)
	if _, err := (Transport{}).RoundTrip(req); !errors.Is(err, io.ErrNoProgress) || !broken.closed {
		t.Errorf("closed %v, %v", broken.closed, err)
	}
	short, _ := http.NewRequestWithContext(t.Context(), "POST", "http://x/", &body{Reader: strings.NewReader("a")})
	short.ContentLength = 2
	if _, err := (Transport{}).RoundTrip(short); err == nil || !strings.Contains(err.Error(), "ContentLength is 2") {
		t.Errorf("short body: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

func TestAnswerBecomesResponse(t *testing.T) {
	t.Parallel()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://x/", nil)
	got := response(req, &flawless.Response{Status: 404, Header: flawless.Header{{"x-a", "1"}, {"X-A", "2"}}, Body: []byte("gone")})
	text, err := io.ReadAll(got.Body)
	if err != nil || string(text) != "gone" || got.Status != "404 Not Found" || got.ContentLength != 4 || len(got.Header["X-A"]) != 2 || got.Request != req {
		t.Errorf("got %+v, body %q, %v", got, text, err)
	}
	req.Method = http.MethodHead
	got = response(req, &flawless.Response{Status: 200, Header: flawless.Header{{"content-length", "77"}}})
	if got.ContentLength != 77 || got.Body != http.NoBody {
		t.Errorf("HEAD: length %d", got.ContentLength)
	}
}

// TestOversizedResponseIsAnswered checks that a library gets a response: after an error it would make the request
// again.
func TestOversizedResponseIsAnswered(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	large := &flawless.TooLarge{Call: 2, Method: "POST", URL: "http://x/a", Status: 201, Message: "too long"}
	resp, err := answered(req, large)
	if err != nil || resp.StatusCode != 201 || resp.Status != "201 Created" || resp.ContentLength != -1 || resp.Request != req {
		t.Fatalf("it is %+v, %v", resp, err)
	}
	if b, err := io.ReadAll(resp.Body); len(b) != 0 || !errors.Is(err, large) {
		t.Errorf("its body is %q, %v", b, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	for _, other := range []error{&flawless.NotSent{}, &flawless.CallError{Kind: flawless.KindTooLarge}} {
		if resp, err := answered(req, other); resp != nil || err != other {
			t.Errorf("%T: %+v, %v", other, resp, err)
		}
	}
}
