package forward

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/peer"
)

// Change is an event of a stream over all runs.
type Change struct {
	Run   json.RawMessage // as it is shown; nil if nothing has changed
	Reset Reset           // unless Why is empty, changes before this one may be missing
	Err   error           // the stream ends with it
	At    Position        // up to where the reader now has the changes of a server; nil if that is where it was before
}

// Reset says that changes of runs may be missing in a stream: look at the runs again.
type Reset struct {
	Why string `json:"why" doc:"such as that a server has stopped"`
}

// Times of the streams of other servers.
const (
	atFirst   = 2 * time.Second // how long a new stream waits until it has those of all servers
	lookAgain = time.Second     // how often it looks for other servers
)

// Watcher merges the changes of the runs of all servers.
type Watcher struct {
	peer    *peer.Peer
	ctx     context.Context
	changes chan Change
	tasks   sync.WaitGroup

	last  string // the position that the reader has reached before
	epoch string // of this server

	mu   sync.Mutex
	from map[string]bool // the servers whose streams it has, or is about to have
	seen Position        // where each server was when its stream began
}

// Watch returns the changes of the runs of all servers until ctx ends: from now on, or, for a reader that was away, since the
// position last; "" is now. own yields those of this server since that position, and epoch is the one of this server. The
// caller ends ctx and calls Close. For a request that another server has passed on, it returns only own.
//
// If the reader was at a server that cannot be asked any more, there is a reset.
func Watch(ctx context.Context, p *peer.Peer, last, epoch string, own iter.Seq[Change]) *Watcher {
	w := &Watcher{peer: p, ctx: ctx, changes: make(chan Change), from: map[string]bool{}, last: last, epoch: epoch, seen: Position{}}
	w.tasks.Go(func() {
		for c := range own {
			if !w.put(c) || c.Err != nil {
				return
			}
		}
	})
	if p := Of(ctx); p != nil && p.PassedOn {
		return w
	} else if p == nil {
		w.resetIfUnknown()
		return w
	}
	var first sync.WaitGroup
	w.look(true, &first)
	w.tasks.Go(func() {
		t := time.NewTicker(lookAgain)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				w.look(false, nil)
			}
		}
	})
	all := make(chan struct{})
	w.tasks.Go(func() { first.Wait(); close(all) })
	select {
	case <-all:
	case <-time.After(atFirst):
	case <-ctx.Done():
	}
	w.resetIfUnknown()
	return w
}

// resetIfUnknown tells a reader that comes back to other servers than it knows.
func (w *Watcher) resetIfUnknown() {
	if w.isUnknown(ParsePosition(w.last)) {
		w.tasks.Go(func() {
			w.put(Change{Reset: Reset{"a server whose changes you have followed has stopped, or another one has started since"}})
		})
	}
}

// isUnknown reports whether a reader has been at other servers than those that are there: it is not known then what it has
// missed.
func (w *Watcher) isUnknown(last Position) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, has := last[w.epoch]; last != nil && !has {
		return true
	}
	for epoch := range w.seen {
		if _, has := last[epoch]; last != nil && !has {
			return true
		}
	}
	for epoch := range last {
		if _, has := w.seen[epoch]; !has && epoch != w.epoch {
			return true
		}
	}
	return false
}

// Send sends the changes as events with ids until ctx ends, and returns the error with which it or a stream ends. mark sends
// an id without an event.
func (w *Watcher) Send(ctx context.Context, send func(event, id string, v any) error, mark func(id string) error) error {
	w.mu.Lock()
	at := maps.Clone(w.seen)
	w.mu.Unlock()
	for {
		var c Change
		select {
		case c = <-w.changes:
		case <-ctx.Done():
			return ctx.Err()
		}
		id := ""
		if c.At != nil {
			maps.Copy(at, c.At)
			if _, begun := at[w.epoch]; begun { // else it does not have all servers yet
				id = at.String()
			}
		}
		var err error
		switch {
		case c.Err != nil:
			return c.Err
		case c.Reset.Why != "":
			err = send("reset", id, c.Reset)
		case c.Run != nil:
			err = send("run", id, c.Run)
		case id != "":
			err = mark(id)
		}
		if err != nil {
			return err
		}
	}
}

// Close waits for all that belongs to the watcher. Its ctx has ended.
func (w *Watcher) Close() { w.tasks.Wait() }

// put passes a change on, or returns false if nobody wants it any more.
func (w *Watcher) put(c Change) bool {
	select {
	case w.changes <- c:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// look opens the streams of servers whose stream it does not have. What a server that is found later has done before is not
// known.
func (w *Watcher) look(first bool, opening *sync.WaitGroup) {
	others, err := w.peer.Others(w.ctx)
	if err != nil {
		return // the next look
	}
	for _, n := range others {
		w.mu.Lock()
		has := w.from[n.ID]
		w.from[n.ID] = true
		w.mu.Unlock()
		if has {
			continue
		}
		opened := func() {}
		if first {
			opening.Add(1)
			opened = sync.OnceFunc(opening.Done)
		}
		w.tasks.Go(func() {
			defer opened()
			began := time.Now()
			was := w.read(n, func() {
				opened()
				if late := time.Since(began) > atFirst; !first || late {
					w.put(Change{Reset: Reset{fmt.Sprintf("the changes of node %s begin here", n.Name)}})
				}
			})
			if was {
				w.put(Change{Reset: Reset{fmt.Sprintf("the stream of node %s ended", n.Name)}})
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.from, n.ID)
		})
	}
}

// read passes on the changes of another server until its stream ends. It returns false if it could not be opened.
func (w *Watcher) read(n flawless.Node, opened func()) bool {
	r, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "/api/v1/events", nil)
	if err != nil {
		return false
	}
	r.Header.Set("Accept", "text/event-stream")
	if w.last != "" {
		r.Header.Set("Last-Event-ID", w.last)
	}
	res, err := w.peer.Send(n, r)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return false
	}
	begun := false
	_ = readEvents(res.Body, func(event, id string, data []byte) bool {
		c := Change{At: ParsePosition(id)}
		if !begun {
			begun = true
			w.mu.Lock()
			maps.Copy(w.seen, c.At)
			w.mu.Unlock()
			opened()
		}
		switch event {
		case "run":
			c.Run = data
		case "reset":
			if err := json.Unmarshal(data, &c.Reset); err != nil || c.Reset.Why == "" {
				c.Reset.Why = "changes of node " + n.Name + " are not known any more"
			}
		case "":
		default:
			return false
		}
		return w.put(c)
	})
	return begun
}

// readEvents calls f with the events of a stream of another server until f returns false or the stream ends. An event without
// a name and data only has an id.
func readEvents(r io.Reader, f func(event, id string, data []byte) bool) error {
	in := bufio.NewReader(r)
	event, id, data := "", "", []byte(nil)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case len(line) == 0 && (data != nil || id != ""):
			if !f(event, id, data) {
				return nil
			}
			event, id, data = "", "", nil
		case string(name) == "event":
			event = string(value)
		case string(name) == "id":
			id = string(value)
		case string(name) == "data":
			data = value
		}
	}
}
