package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// speaker answers a POST bit by bit: what it is given, each part once the one before was acknowledged.
type speaker struct {
	*httptest.Server
	parts []string
	gone  chan struct{} // one value for each POST that nobody listens to any more

	mu    sync.Mutex
	posts int
	acks  map[string]chan struct{}
}

func newSpeaker(t *testing.T, parts ...string) *speaker {
	s := &speaker{parts: parts, gone: make(chan struct{}, 100), acks: map[string]chan struct{}{}}
	for i := range parts {
		s.acks[fmt.Sprintf("/ack/%d", i+1)] = make(chan struct{})
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path != "/events" {
			s.ack(r.URL.Path)
			return
		}
		s.mu.Lock()
		s.posts++
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for i, p := range parts {
			if p == "break" {
				panic(http.ErrAbortHandler)
			}
			_, _ = io.WriteString(w, p)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-s.acks[fmt.Sprintf("/ack/%d", i+1)]:
			case <-r.Context().Done():
				s.gone <- struct{}{}
				return
			}
		}
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *speaker) ack(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.acks[path]:
	default:
		close(s.acks[path])
	}
}

func (s *speaker) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts
}

// acked returns how many parts were acknowledged.
func (s *speaker) acked() (n int) {
	for i := range s.parts {
		select {
		case <-s.acks[fmt.Sprintf("/ack/%d", i+1)]:
			n++
		default:
		}
	}
	return n
}

func heard(t *testing.T, r flawless.Run) (h struct {
	Status int
	Parts  []string
	Wrong  string
}) {
	t.Helper()
	if err := json.Unmarshal(r.Output, &h); err != nil {
		t.Fatalf("%v: it is %+v %+v", err, r, r.Failure)
	}
	return h
}

// TestStreamedBodyIsReadAsEventsArrive by http.Client and bufio.Scanner. Each is durable, and the guest has left memory,
// before the server sends the next.
func TestStreamedBodyIsReadAsEventsArrive(t *testing.T) {
	t.Parallel()
	s := newSpeaker(t, "data: one\n\n", ": still there\n\ndata: two\n\n", "data: thr", "ee\n\n")
	e := openWithClients(t, mem.New(), Options{Rest: 1, Freezing: Freezing{Units: 1}})
	id := mustBegin(t, e, Start{Module: "clients", Workflow: "events"}, s.URL+"/events").ID
	for i, want := range []string{`"one"`, `"two"`, "", `"three"`} {
		if want != "" {
			until(t, e, id, func(flawless.Run) bool {
				data, err := e.Data(t.Context(), id)
				return err == nil && string(data) == want
			})
		}
		s.ack(fmt.Sprintf("/ack/%d", i+1))
	}
	r := mustEnd(t, e, id)
	if r.Status != flawless.Completed || string(r.Output) != `["one","two","three"]` {
		t.Errorf("it is %s %s %+v", r.Status, r.Output, r.Failure)
	}
	if got, err := e.Replay(t.Context(), id, nil); err != nil || got.Divergence != nil {
		t.Errorf("the replay: %v, %v", got.Divergence, err)
	}
}

// TestEndsOfStreams for the code: whole, broken, closed before its end, and with its run.
func TestEndsOfStreams(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		parts   []string
		in      map[string]any
		want    []string
		wrong   string
		dropped bool // the server sees its connection closed
	}{
		{"whole", []string{"one", "two"}, map[string]any{"Ack": true}, []string{"one", "two"}, "", false},
		{"broken", []string{"one", "break"}, map[string]any{"Ack": true}, []string{"one"}, "broken: the server closed the connection in the middle of the response", false},
		{"closed", []string{"one", "two"}, map[string]any{"Enough": 1}, []string{"one"}, "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newSpeaker(t, row.parts...)
			e := open(t, mem.New(), Options{})
			row.in["URL"] = s.URL
			id := mustStart(t, e, "listen", row.in, "").ID
			r := mustEnd(t, e, id)
			h := heard(t, r)
			if h.Status != 200 || !slices.Equal(h.Parts, row.want) || h.Wrong != row.wrong || s.count() != 1 {
				t.Errorf("it heard %+v", h)
			}
			if row.dropped {
				<-s.gone
			}
			if err := e.verify(t.Context(), id); err != nil {
				t.Errorf("the replay: %v", err)
			}
		})
	}
}

// TestStreamEndsWithItsRun: a run is terminated while it listens. Its connection is closed.
func TestStreamEndsWithItsRun(t *testing.T) {
	t.Parallel()
	s := newSpeaker(t, "one", "two")
	e := open(t, mem.New(), Options{})
	id := mustStart(t, e, "listen", map[string]any{"URL": s.URL}, "").ID
	until(t, e, id, func(flawless.Run) bool {
		data, _ := e.Data(t.Context(), id)
		return strings.Contains(string(data), "one")
	})
	if _, err := e.Terminate(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	<-s.gone
	mustEnd(t, e, id)
}

// TestForkOfStreamBreaksOff: it has what its origin had, and not the connection.
func TestForkOfStreamBreaksOff(t *testing.T) {
	t.Parallel()
	s := newSpeaker(t, "one", "two")
	e := open(t, mem.New(), Options{})
	id := mustStart(t, e, "listen", map[string]any{"URL": s.URL}, "").ID
	r := until(t, e, id, func(flawless.Run) bool {
		data, _ := e.Data(t.Context(), id)
		return strings.Contains(string(data), "one")
	})
	if _, err := e.Fork(t.Context(), id, Fork{Turn: r.Turns, ID: "fork"}); err != nil {
		t.Fatal(err)
	}
	h := heard(t, mustEnd(t, e, "fork"))
	if !slices.Equal(h.Parts, []string{"one"}) || !strings.HasSuffix(h.Wrong, "cannot be read on after byte 3: its connection is that of run "+id+", which this run was made from") {
		t.Errorf("the fork heard %+v", h)
	}
	s.ack("/ack/1")
	s.ack("/ack/2")
	if h := heard(t, mustEnd(t, e, id)); len(h.Parts) != 2 || h.Wrong != "" || s.count() != 1 {
		t.Errorf("its origin heard %+v", h)
	}
}

// TestDeathAtEveryWriteOfStream: the server dies before and after each write. The request is made once, what
// the code has read it reads again, and then it learns that the rest is gone.
func TestDeathAtEveryWriteOfStream(t *testing.T) {
	t.Parallel()
	for _, row := range lots() {
		if row.name != "mem" && row.name != "frozen and thawed at every turn" {
			continue // other tests have the others
		}
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after it %v", row.name, after), func(t *testing.T) {
				t.Parallel()
				n, pace := 1, 1
				if testing.Short() || row.name != "mem" {
					pace = 3
				}
				for listening(t, fmt.Sprintf("write %d", n), row, n, after) {
					n += pace
				}
				if n < 6 {
					t.Errorf("it died at %d writes only: the test proves nothing", n)
				}
			})
		}
	}
}

func listening(t *testing.T, name string, l lot, left int, after bool) (died bool) {
	t.Helper()
	s := newSpeaker(t, "one", "two", "three")
	d := l.disk()
	begin := Start{Module: "guest", Workflow: "listen", Input: input(t, map[string]any{"URL": s.URL, "Ack": true}), ID: "run"}
	died = runUntilDeath(t, name, d, newMortal(d.open(t), left, after), l.how, begin)
	read := s.acked() // in the first life, at least
	resolved := false
	e, r := settle(t, name, d.open(t), l.how, begin, func(flawless.Doubt) (string, bool) {
		resolved = s.count() > 0
		return "onetwothree", resolved
	})
	defer d.crash()
	defer e.Kill()
	h := heard(t, r)
	text := strings.Join(h.Parts, "")
	switch {
	case s.count() != 1:
		t.Errorf("%s: %d requests", name, s.count())
	case h.Status != 200 || !strings.HasPrefix("onetwothree", text) || len(text) < len(strings.Join(s.parts[:read], "")):
		t.Errorf("%s: %d parts were read, then %+v", name, read, h)
	case (h.Wrong == "") != (text == "onetwothree") && !strings.Contains(h.Wrong, "after byte 11"):
		t.Errorf("%s: it heard %+v", name, h)
	case h.Wrong != "" && !strings.HasPrefix(h.Wrong, "broken: "):
		t.Errorf("%s: it was told %s", name, h.Wrong)
	case !died && (h.Wrong != "" || resolved):
		t.Errorf("%s: without a death it heard %+v", name, h)
	}
	if _, err := e.Log(context.Background(), "run", 0, 0); err != nil {
		t.Error(err)
	}
	checkLog(t, e, name)
	return died
}

// TestReadsAreNotRetried: a read that has failed is answered. It is tried again by nobody, whatever is the
// policy for calls.
func TestReadsAreNotRetried(t *testing.T) {
	t.Parallel()
	c := effect.NewClient(effect.ClientOptions{}, nil)
	t.Cleanup(c.Close)
	r := c.Read(t.Context(), effect.Attempt{Run: "run", N: 1, Call: flawless.Call{N: 2, Kind: effect.Read, Head: []byte(`{"call":1}`)}})
	if r.Outcome != effect.Answered || r.Again {
		t.Errorf("it is %+v", r)
	}
}

// TestRustStream: it is read as it comes, breaks for the code where it broke, and is closed when it is dropped.
func TestRustStream(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		parts  []string
		enough any
		want   string
		gone   bool
	}{
		{"whole", []string{"one", "two"}, nil, `[200,["one","two"],""]`, false},
		{"broken", []string{"one", "break"}, nil, `[200,["one"],"broken: the server closed the connection in the middle of the response"]`, false},
		{"dropped", []string{"one", "two"}, 1, `[200,["one"],""]`, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newSpeaker(t, row.parts...)
			e := openRust(t, mem.New(), Options{})
			id := mustBegin(t, e, Start{Module: "beside", Workflow: "hear"}, []any{s.URL + "/events", row.enough}).ID
			if row.gone {
				<-s.gone
			}
			for i := range row.parts {
				if !row.gone && row.parts[i] != "break" {
					until(t, e, id, func(flawless.Run) bool {
						data, err := e.Data(t.Context(), id)
						return err == nil && string(data) == fmt.Sprint(i+1)
					})
				}
				s.ack(fmt.Sprintf("/ack/%d", i+1))
			}
			if r := mustEnd(t, e, id); r.Status != flawless.Completed || string(r.Output) != row.want || s.count() != 1 {
				t.Errorf("it is %s %s %+v", r.Status, r.Output, r.Failure)
			}
			if err := e.verify(t.Context(), id); err != nil {
				t.Errorf("the replay: %v", err)
			}
		})
	}
}
