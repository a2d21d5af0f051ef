package forward

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/peer"
)

// Change is an event of a stream over all runs.
type Change struct {
	Run   json.RawMessage // as it is shown; nil is a reset
	Reset Reset
	Err   error // the stream ends with it
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

	mu   sync.Mutex
	from map[string]bool // the servers whose streams it has, or is about to have
}

// Watch returns the changes of the runs of all servers from now on, until ctx ends. own yields those of this server. The
// caller ends ctx and calls Close. For a request that another server has passed on, it returns only own.
func Watch(ctx context.Context, p *peer.Peer, own iter.Seq2[json.RawMessage, error]) *Watcher {
	w := &Watcher{peer: p, ctx: ctx, changes: make(chan Change), from: map[string]bool{}}
	w.tasks.Go(func() {
		for run, err := range own {
			if !w.put(Change{Run: run, Err: err}) || err != nil {
				return
			}
		}
	})
	if p := Of(ctx); p == nil || p.PassedOn {
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
	return w
}

// Changes returns the channel of the changes.
func (w *Watcher) Changes() <-chan Change { return w.changes }

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
	res, err := w.peer.Send(n, r)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return false
	}
	opened()
	_ = readEvents(res.Body, func(event string, data []byte) bool {
		return event == "run" && w.put(Change{Run: data})
	})
	return true
}

// readEvents calls f with the events of a stream of another server until f returns false or the stream ends.
func readEvents(r io.Reader, f func(event string, data []byte) bool) error {
	in := bufio.NewReader(r)
	event, data := "", []byte(nil)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case len(line) == 0 && data != nil:
			if !f(event, data) {
				return nil
			}
			event, data = "", nil
		case string(name) == "event":
			event = string(value)
		case string(name) == "data":
			data = value
		}
	}
}
