package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// Ending is the last event of those who follow the data of a run.
type Ending struct {
	Status flawless.Status `json:"status"`
	Output json.RawMessage `json:"output,omitempty" redact:"-"`
}

// progress adds the operation that follows the data of a run. It shows nothing else of the run, so an application may pass
// it on to a browser.
func (a *api) progress() {
	op := a.eventing(operation("follow-data", http.MethodGet, "/runs/{id}/data/events", "Follow the data of a run"),
		"`data` events (data is what the run published, id the number of the record in its log): first the newest data, then all that follows; at the end an `end` event with the status and output of the run; a `problem` event if the stream is cut off",
		eventKind{"data", typeOf[json.RawMessage]()}, eventKind{"end", typeOf[Ending]()})
	huma.Register(a.huma, op, func(_ context.Context, in *struct {
		RunPath
		Last string `header:"Last-Event-ID" doc:"id of the last event that you received. The stream then begins with the data after it"`
	}) (*huma.StreamResponse, error) {
		if _, err := a.engine.Run(a.ctx, in.ID); err != nil {
			return nil, reply.From(err)
		}
		return a.streaming(func(ctx context.Context, s *stream) error {
			from := uint64(0)
			if n, err := strconv.ParseUint(in.Last, 10, 63); err == nil {
				from = n + 1
			} else if from, err = a.newest(ctx, in.ID, s); err != nil {
				return err
			}
			for rec, err := range a.engine.Follow(ctx, in.ID, from) {
				if err != nil {
					return err
				}
				if data := published(rec); data != nil {
					if err := s.send("data", strconv.FormatUint(rec.Seq, 10), data); err != nil {
						return err
					}
				}
			}
			r, err := a.engine.Run(ctx, in.ID)
			if err != nil {
				return err
			}
			return s.send("end", "", Ending{r.Status, r.Output})
		}), nil
	})
}

// newest sends the newest data of a run, if there is any, and returns the number of the record after which it was so.
func (a *api) newest(ctx context.Context, id string, s *stream) (next uint64, err error) {
	// The log says as of which record its data is. Data whose record was removed from the log is older than what it has.
	data, err := a.engine.Data(ctx, id)
	if err != nil && !errors.Is(err, flawless.NotFound) {
		return 0, err
	}
	for rec, err := range a.engine.Records(ctx, id, 0) {
		if err != nil {
			return 0, err
		}
		if d := published(rec); d != nil {
			data = d
		}
		next = rec.Seq + 1
	}
	if data == nil || next == 0 {
		return next, nil
	}
	return next, s.send("data", strconv.FormatUint(next-1, 10), data)
}

// published returns the data that a record publishes, or nil.
func published(rec flawless.Record) (data json.RawMessage) {
	for _, e := range rec.Entries {
		if e.Turn != nil && e.Turn.Data != nil {
			data = e.Turn.Data
		}
	}
	return data
}
