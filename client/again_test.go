package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// mute is a server that reads each request and aborts the connection without an answer.
type mute struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // method, address and body
}

func newMute(t *testing.T) *mute {
	m := &mute{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		m.mu.Lock()
		m.seen = append(m.seen, fmt.Sprintf("%s %s %s", r.Method, r.URL, b))
		m.mu.Unlock()
		panic(http.ErrAbortHandler)
	}))
	m.Config.ErrorLog = nil
	t.Cleanup(m.Close)
	return m
}

func (m *mute) requests() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.seen
	m.seen = nil
	return out
}

// clientOf returns a client of the server at an address.
func clientOf(t *testing.T, address string, patience time.Duration, repeating func(error)) *Client {
	t.Helper()
	c, err := New(Options{Socket: address, NoQUIC: true, Patience: patience, Repeating: repeating})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestLostAnswersAreHandled calls every method while the server never answers. A request that changes something is
// either repeated unchanged, with the key that makes that safe, or sent once, and its error says what to check before
// it is sent again.
func TestLostAnswersAreHandled(t *testing.T) {
	t.Parallel()
	m := newMute(t)
	var told []string
	c := clientOf(t, m.Listener.Addr().String(), time.Millisecond, func(err error) { told = append(told, err.Error()) })
	v := reflect.ValueOf(c)
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if name == "Close" || name == "Protocol" {
			continue
		}
		told = nil
		err := call(t.Context(), v.Method(i))
		seen := m.requests()
		if len(seen) == 0 || err == nil {
			t.Errorf("%s sends %v, and returns %v", name, seen, err)
			continue
		}
		for _, s := range seen {
			if s != seen[0] {
				t.Errorf("%s sends %s and then %s", name, seen[0], s)
			}
		}
		switch repeated := len(seen) > 1; {
		case repeated != (len(told) == 1):
			t.Errorf("%s sends the request %d times, and reports that %d times", name, len(seen), len(told))
		case repeated && !harmlessTwice(told[0], seen[0]):
			t.Errorf("%s repeats %s, which does not contain the key that makes this safe: %s", name, seen[0], told[0])
		case errors.Is(err, Lost) && !strings.Contains(err.Error(), "the server may have carried out the request: "):
			t.Errorf("%s does not say what to do: %v", name, err)
		case !errors.Is(err, Lost) && !repeated && !strings.HasPrefix(seen[0], "GET "):
			t.Errorf("%s may have changed something, but its error does not say so: %v", name, err)
		}
	}
}

// harmlessTwice reports whether a request contains the key that the reason for repeating it names.
func harmlessTwice(told, request string) bool {
	_, key, keyed := strings.Cut(told, "with the ")
	if !keyed {
		return true
	}
	_, key, _ = strings.Cut(key, " ") // after its name
	return key != "" && strings.Contains(request, key)
}

// call calls a method with dummy arguments and returns its error, or the error of the sequence it returns.
func call(ctx context.Context, method reflect.Value) error {
	var in []reflect.Value
	for k := range method.Type().NumIn() {
		arg := reflect.New(method.Type().In(k)).Elem()
		switch p := arg.Addr().Interface().(type) {
		case *context.Context:
			*p = ctx
		case *string:
			*p = "given-key"
		case *[]byte:
			*p = []byte("x")
		case *io.Writer:
			*p = io.Discard
		case *flawless.Pause:
			p.Resume = true
		}
		in = append(in, arg)
	}
	out := method.Call(in)
	last := out[len(out)-1]
	if err, ok := last.Interface().(error); ok {
		return err
	}
	if last.Kind() != reflect.Func {
		return nil
	}
	var err error
	for _, e := range last.Seq2() {
		if !e.IsNil() {
			err = e.Interface().(error)
		}
	}
	return err
}

// TestStartSurvivesServerRestart has a server that accepts the request and dies, is away for a moment, says that it
// is stopping, and then answers. All requests are for the same run.
func TestStartSurvivesServerRestart(t *testing.T) {
	t.Parallel()
	m := newMute(t)
	address := m.Listener.Addr().String()
	var why []error
	c := clientOf(t, address, time.Minute, func(err error) {
		why = append(why, err)
		m.Close() // nobody listens
		go func() {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return // the client gives up
			}
			n := 0
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				m.mu.Lock()
				m.seen = append(m.seen, string(b))
				m.mu.Unlock()
				w.Header().Set("Content-Type", "application/json")
				if n++; n == 1 {
					w.WriteHeader(http.StatusServiceUnavailable)
					fmt.Fprintf(w, `{"title": "stopping", "detail": "the server is shutting down", "code": %q}`, flawless.Stopping)
					return
				}
				fmt.Fprint(w, `{"run": {"id": "r"}, "started": false}`)
			})}
			t.Cleanup(func() { _ = s.Close() })
			_ = s.Serve(l)
		}()
	})
	r, started, err := c.Start(t.Context(), Start{Module: "shop", Workflow: "checkout"}, true)
	if err != nil || r.ID != "r" || !started {
		t.Fatalf("it is %+v, %v, %v", r, started, err)
	}
	seen := m.requests()
	if len(seen) != 3 || !strings.HasSuffix(seen[0], seen[1]) || seen[1] != seen[2] || !strings.Contains(seen[1], `"id":"wkf_`) {
		t.Errorf("it sent %q", seen)
	}
	if len(why) != 1 || !strings.Contains(why[0].Error(), "repeating the request for up to 1m0s, with the id wkf_") {
		t.Errorf("it said %v", why)
	}
}

// TestMissingServerFailsAtOnce checks that nothing is repeated if the request was never sent.
func TestMissingServerFailsAtOnce(t *testing.T) {
	t.Parallel()
	c := clientOf(t, "127.0.0.1:1", time.Hour, func(err error) { t.Errorf("it repeats: %v", err) })
	if _, _, err := c.Start(t.Context(), Start{Module: "shop", Workflow: "checkout"}, true); !errors.Is(err, Unreachable) || errors.Is(err, Lost) {
		t.Errorf("it is %v", err)
	}
}

// TestInterruptedStartReportsID checks that the caller learns the id: the run continues.
func TestInterruptedStartReportsID(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	c := clientOf(t, s.Listener.Addr().String(), 0, nil)
	_, _, err := c.Start(ctx, Start{Module: "shop", Workflow: "checkout"}, true)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, Lost) || !strings.Contains(err.Error(), "repeat it with the id wkf_") {
		t.Errorf("it is %v", err)
	}
}
