package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/reply"
)

// heartbeat is the interval at which a silent stream sends a comment to keep the connection open.
const heartbeat = 15 * time.Second

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// stream writes server-sent events (WHATWG HTML, section 9.2). It may be used concurrently.
type stream struct {
	api   *api
	mu    sync.Mutex
	w     io.Writer
	flush func() error
}

func (a *api) openStream(c huma.Context) *stream {
	c.SetHeader("Content-Type", "text/event-stream")
	c.SetHeader("Cache-Control", "no-store")
	c.SetStatus(http.StatusOK)
	s := &stream{api: a, w: c.BodyWriter(), flush: func() error { return nil }}
	if w, ok := s.w.(http.ResponseWriter); ok {
		s.flush = http.NewResponseController(w).Flush
	}
	_ = s.flush()
	return s
}

func (s *stream) send(event, id string, v any) error {
	leave, err := s.api.budget.Enter(context.Background()) // not the context of the request: the last event of a stream comes after its end
	if err != nil {
		return err
	}
	b, err := reply.JSON(shown(s.api.engine, v))
	leave()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" {
		id = "id: " + id + "\n"
	}
	_, err = io.WriteString(s.w, id+"event: "+event+"\ndata: ")
	if err == nil {
		_, err = s.w.Write(append(b, '\n')) // without copying it into a string: a record can be long
	}
	return cmp.Or(err, s.flush())
}

// mark sends an id without an event: the reader has everything up to there.
func (s *stream) mark(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.WriteString(s.w, "id: "+id+"\n\n")
	return cmp.Or(err, s.flush())
}

// beat keeps the connection open until done is closed. It returns an error if the client no longer reads.
func (s *stream) beat(done <-chan struct{}) error {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-t.C:
			s.mu.Lock()
			_, err := io.WriteString(s.w, ": alive\n\n")
			err = cmp.Or(err, s.flush())
			s.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
}

// eventing describes an operation that answers with a stream of events.
func (a *api) eventing(op huma.Operation, description string, kinds ...eventKind) huma.Operation {
	op.Responses = map[string]*huma.Response{"200": {Description: description,
		Content: map[string]*huma.MediaType{"text/event-stream": a.eventsOf(kinds...)}}}
	return op
}

func (a *api) streams() {
	follow := a.eventing(operation("follow-log", http.MethodGet, "/runs/{id}/events", "Follow the log of a run"),
		"`record` events (id is the number of the record, data the record), and at the end a `run` event with the run; a `problem` event if the stream is cut off",
		eventKind{"record", typeOf[flawless.Record]()}, eventKind{"run", typeOf[flawless.Run]()})
	huma.Register(a.huma, follow, func(_ context.Context, in *struct {
		RunPath
		From int64  `query:"from" minimum:"0" doc:"number of the first record"`
		Last string `header:"Last-Event-ID" doc:"number of the last record that you received; takes precedence over from"`
	}) (*huma.StreamResponse, error) {
		if n, err := strconv.ParseUint(in.Last, 10, 63); err == nil {
			in.From = int64(n) + 1
		}
		if _, err := a.engine.Run(a.ctx, in.ID); err != nil {
			return nil, reply.From(err)
		}
		return a.streaming(func(ctx context.Context, s *stream) error {
			for rec, err := range a.engine.Follow(ctx, in.ID, uint64(in.From)) {
				if err != nil {
					return err
				}
				if err := s.send("record", strconv.FormatUint(rec.Seq, 10), rec); err != nil {
					return err
				}
			}
			r, err := a.engine.Run(ctx, in.ID)
			if err != nil {
				return err
			}
			return s.send("run", "", r)
		}), nil
	})
	watch := a.eventing(operation("watch-runs", http.MethodGet, "/events", "Follow the changes of all runs"),
		"`run` events, of all servers on the database; a `reset` event where changes may be missing, because a server has stopped or is new, or you were away for too long: look at the runs again",
		eventKind{"run", typeOf[flawless.Run]()}, eventKind{"reset", typeOf[forward.Reset]()})
	huma.Register(a.huma, watch, func(ctx context.Context, in *struct {
		Last string `header:"Last-Event-ID" doc:"id of the last event that you received. The stream then begins with the runs that have changed since; each server remembers the last 10,000 changes"`
	}) (*huma.StreamResponse, error) {
		last := forward.ParsePosition(in.Last)
		ctx, end := context.WithCancel(ctx)
		epoch, own := a.watched(ctx, last)
		w := forward.Watch(ctx, a.peer, last.String(), epoch, own)
		return a.streaming(func(ctx context.Context, s *stream) error {
			defer w.Close()
			defer end()
			if in.Last != "" && last == nil {
				if err := s.send("reset", "", forward.Reset{Why: "the id " + strconv.Quote(in.Last) + " is not one of an event"}); err != nil {
					return err
				}
			}
			return w.Send(ctx, s.send, s.mark)
		}), nil
	})
}

// streaming returns an answer to which f writes events until f returns, the client disconnects or the server stops.
func (a *api) streaming(f func(ctx context.Context, s *stream) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		ctx, cancel := context.WithCancel(c.Context())
		defer cancel()
		defer context.AfterFunc(a.ctx, cancel)()
		s := a.openStream(c)
		var beats sync.WaitGroup
		defer beats.Wait()
		done := make(chan struct{})
		defer close(done)
		beats.Go(func() {
			if s.beat(done) != nil {
				cancel()
			}
		})
		err := f(ctx, s)
		switch {
		case err == nil:
		case a.ctx.Err() != nil:
			_ = s.send("problem", "", reply.From(fmt.Errorf("the server is shutting down: %w", flawless.Stopping)))
		case !errors.Is(err, context.Canceled):
			_ = s.send("problem", "", reply.From(err))
		}
	}}
}
