package nethttp

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func TestRequestsBecomeCalls(t *testing.T) {
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

func TestBrokenBodiesAreErrors(t *testing.T) {
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

func TestAnswersBecomeResponses(t *testing.T) {
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
