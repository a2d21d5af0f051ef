package effect_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// reads reads a stream of a client.
type reads struct {
	t    *testing.T
	c    *effect.Client
	from int64
	n    int
}

// begun makes a call whose response is streamed.
func begun(t *testing.T, c *effect.Client, made flawless.Call) *reads {
	t.Helper()
	r := perform(t, c, made)
	if r.Outcome != effect.Answered || !strings.HasSuffix(string(r.Answer.Head), `,"stream":true}`) || len(r.Answer.Body) > 0 {
		t.Fatalf("it has not begun: %d %s %s", r.Outcome, r.Text, r.Answer.Head)
	}
	return &reads{t: t, c: c, n: made.N}
}

// read reads the part at an offset.
func (r *reads) read(from int64) effect.Result {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Hour)
	defer cancel()
	r.n++
	return r.c.Read(ctx, effect.Attempt{Run: "wkf_x", Call: flawless.Call{N: r.n, Kind: effect.Read, Head: fmt.Appendf(nil, `{"call":7,"from":%d}`, from)}, N: 1})
}

// next reads the next part.
func (r *reads) next() (body, head string) {
	r.t.Helper()
	res := r.read(r.from)
	if res.Outcome != effect.Answered {
		r.t.Fatalf("a read ended with %d %s", res.Outcome, res.Text)
	}
	r.from += int64(len(res.Answer.Body))
	return string(res.Answer.Body), string(res.Answer.Head)
}

// all reads to the end, and returns the body and the last head.
func (r *reads) all() (body, head string) {
	r.t.Helper()
	for head = "{}"; head == "{}"; {
		var b string
		b, head = r.next()
		body += b
	}
	return body, head
}

// slowly answers with the pieces that it receives from a channel, until the channel is closed.
func slowly(t *testing.T, pieces <-chan string, over string) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case p, more := <-pieces:
				if p == "break" {
					panic(http.ErrAbortHandler)
				}
				if !more {
					return
				}
				_, _ = w.Write([]byte(p))
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	if over == "h2" {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func trusting(t *testing.T) *effect.Client {
	return newClient(t, effect.ClientOptions{TLS: &tls.Config{InsecureSkipVerify: true}})
}

// TestStreamIsReadAsItComes checks that a part can be read before the next one is sent, and can be read again, over
// HTTP/1.1 and 2, and that the end of the response comes last.
func TestStreamIsReadAsItComes(t *testing.T) {
	t.Parallel()
	for _, over := range []string{"h1", "h2"} {
		for _, end := range []string{"whole", "broken"} {
			t.Run(over+", "+end, func(t *testing.T) {
				t.Parallel()
				pieces := make(chan string)
				s := slowly(t, pieces, over)
				r := begun(t, trusting(t), call("", "url", s.URL, "stream", true, "method", "POST"))
				for _, p := range []string{"one", "two", "three"} {
					pieces <- p
					if body, head := r.next(); body != p || head != "{}" {
						t.Fatalf("got %q %s, want %q", body, head, p)
					}
					if again := r.read(r.from - int64(len(p))); string(again.Answer.Body) != p {
						t.Fatalf("asked again: %q, want %q", again.Answer.Body, p)
					}
				}
				want := `{"end":true}`
				if end == "broken" {
					pieces <- "break"
					want = `"kind":"broken"`
				} else {
					close(pieces)
				}
				for range 2 { // the end can be read again
					if body, head := r.next(); body != "" || !strings.Contains(head, want) {
						t.Errorf("at the end: %q %s, want %s", body, head, want)
					}
				}
				if res := r.read(1); !strings.Contains(string(res.Answer.Head), "broken") {
					t.Errorf("an offset that is gone: %s", res.Answer.Head)
				}
			})
		}
	}
}

// TestResponsesThatAreNotStreamed has responses without success or without a body. They are returned as a whole.
func TestResponsesThatAreNotStreamed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		method string
		status int
		body   string
	}{{"POST", 429, "later"}, {"GET", 204, ""}, {"HEAD", 200, ""}} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(row.status)
			if row.body != "" {
				_, _ = w.Write([]byte(row.body))
			}
		}))
		t.Cleanup(s.Close)
		r := perform(t, newClient(t, effect.ClientOptions{}), call("", "url", s.URL, "stream", true, "method", row.method))
		if r.Outcome != effect.Answered || string(r.Answer.Body) != row.body || strings.Contains(string(r.Answer.Head), "stream") {
			t.Errorf("%d: %d %s %s %q", row.status, r.Outcome, r.Text, r.Answer.Head, r.Answer.Body)
		}
	}
}

// TestStreamAfterRedirect checks the URL of a redirected stream, and that a stream that does not begin is an ordinary
// failure.
func TestStreamAfterRedirect(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/from":
			http.Redirect(w, r, "/to", http.StatusFound)
		case "/to":
			_, _ = w.Write([]byte("there"))
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	c := newClient(t, effect.ClientOptions{})
	res := perform(t, c, call("", "url", s.URL+"/from", "stream", true))
	if !strings.Contains(string(res.Answer.Head), s.URL+"/to") {
		t.Errorf("the head is %s", res.Answer.Head)
	}
	if body, head := (&reads{t: t, c: c, n: 7}).all(); body != "there" || head != `{"end":true}` {
		t.Errorf("got %q %s", body, head)
	}
	if res := perform(t, c, call("", "url", s.URL, "stream", true, "method", "POST")); res.Outcome != effect.Unknown {
		t.Errorf("outcome %d %s", res.Outcome, res.Text)
	}
}

func TestStreamLimitCountsAllParts(t *testing.T) {
	t.Parallel()
	for longer, want := range map[string]string{"error": `"kind":"too_large"`, "cut": `{"end":true}`} {
		pieces := make(chan string, 3)
		pieces <- "12345"
		pieces <- "67890"
		pieces <- "abcde"
		r := begun(t, newClient(t, effect.ClientOptions{}), call("", "url", slowly(t, pieces, "h1").URL, "stream", true, "limit", 12, "longer", longer))
		if body, head := r.all(); body != "1234567890ab" || !strings.Contains(head, want) {
			t.Errorf("%s: %q %s, want %s", longer, body, head, want)
		}
	}
}

// piping returns options for a client whose server is on a pipe, so that one write is one read.
func piping(serve func(c net.Conn)) effect.ClientOptions {
	return effect.ClientOptions{Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			_, _ = http.ReadRequest(bufio.NewReader(there))
			_, _ = io.WriteString(there, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			serve(there)
		}()
		return here, nil
	}}
}

func chunk(piece string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece) }

// TestSecretsInAStream checks that a value is hidden even if it arrives in two parts.
func TestSecretsInAStream(t *testing.T) {
	t.Parallel()
	o := piping(func(c net.Conn) {
		for _, p := range []string{"a sesame", "-47", "11 b ses", "ame c", ""} {
			_, _ = io.WriteString(c, chunk(p))
		}
	})
	secrets := func() []flawless.OpenSecret {
		return []flawless.OpenSecret{{Secret: flawless.Secret{Name: "KEY", Hosts: []string{"http://h"}}, Value: "sesame-4711"}}
	}
	r := begun(t, secretClient(t, o, secrets), call("", "url", "http://h/", "stream", true))
	body, _ := r.all()
	if strings.Contains(body, "4711") || !strings.HasPrefix(body, "a "+flawless.PlaceholderStart) || !strings.HasSuffix(body, " b sesame c") {
		t.Errorf("got %q", body)
	}
}

// TestStreamReadsNoMoreThanRequested checks that reading from a server that sends forever is bounded.
func TestStreamReadsNoMoreThanRequested(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const piece = 16 << 10
		var sent atomic.Int64
		c := effect.NewClient(piping(func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, chunk(strings.Repeat("x", piece))); err != nil {
					return
				}
				sent.Add(piece)
			}
		}), nil)
		defer c.Close()
		r := begun(t, c, call("", "url", "http://h/", "stream", true, "limit", 64<<20))
		asked := int64(0)
		for range 3 {
			synctest.Wait()
			if n := sent.Load() - asked; n > 128<<10 {
				t.Fatalf("%d bytes were read without a request", n)
			}
			body, _ := r.next()
			asked += int64(len(body))
		}
		if asked == 0 {
			t.Error("nothing came")
		}
	})
}

// TestStreamEnds checks that a stream ends when it is closed, when its run ends, when the server is silent for too
// long, and when it is not read for too long. Then its connection is closed, and a read returns why.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, want string
		do         func(c *effect.Client, r *reads)
	}{
		{"closed", "the code has closed it", func(c *effect.Client, _ *reads) {
			c.Read(context.Background(), effect.Attempt{Run: "wkf_x", Call: flawless.Call{N: 8, Head: []byte(`{"call":7,"close":true}`)}})
		}},
		{"the run has ended", "its connection ended when the run ended", func(c *effect.Client, _ *reads) { c.Ended("wkf_x") }},
		{"silence", `"reason":"timeout"`, func(*effect.Client, *reads) {}},
		{"nobody reads", "nothing was read for 15m0s", func(*effect.Client, *reads) { time.Sleep(16 * time.Minute) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			gone := make(chan bool, 1)
			c := effect.NewClient(piping(func(c net.Conn) {
				_, _ = c.Read(make([]byte, 1))
				gone <- true
			}), nil)
			defer c.Close()
			r := begun(t, c, call("", "url", "http://h/", "stream", true, "timeout_ms", 5000))
			row.do(c, r)
			if body, head := r.next(); body != "" || !strings.Contains(head, row.want) {
				t.Errorf("%s: %q %s, want %s", row.name, body, head, row.want)
			}
			<-gone
		})
	}
}
