package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/reply"
)

type traced struct {
	Code
	Turn  int    `query:"turn" minimum:"0" doc:"only this turn"`
	Depth int    `query:"depth" minimum:"0" doc:"maximum depth of the tree"`
	Func  string `query:"func" doc:"only paths to functions whose name matches this regular expression"`
	All   bool   `query:"all" doc:"include functions of the language runtime"`
}

func (a *api) traces() {
	op := operation("trace-run", http.MethodPost, "/runs/{id}/trace", "Trace the functions that a run executed, with a replay")
	op.Responses = map[string]*huma.Response{"200": a.answered("the turns, each sent as soon as it is replayed", typeOf[flawless.Trace]())}
	withCode(a, op, func(_ context.Context, in *traced) (*huma.StreamResponse, error) {
		o := replay.TraceOptions{Turn: in.Turn, Depth: in.Depth, All: in.All}
		if in.Func != "" {
			var err error
			if o.Func, err = regexp.Compile(in.Func); err != nil {
				return nil, reply.From(fmt.Errorf("the function pattern %q is not a regular expression: %v: %w", in.Func, err, flawless.Invalid))
			}
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			w := &traceWriter{api: a, c: c}
			o.Each = w.turn
			t, err := a.engine.Trace(c.Context(), in.ID, in.bin(), o)
			switch {
			case err == nil:
				err = w.end(t)
			case w.turns == 0:
				a.write(c, nil, false, err)
				return
			}
			if err != nil {
				panic(http.ErrAbortHandler) // the status has been sent: abort, so that the client notices that the trace is incomplete
			}
		}}, nil
	})
}

// traceWriter writes a trace turn by turn, because the whole trace may not fit into memory.
type traceWriter struct {
	api   *api
	c     huma.Context
	turns int
}

func (w *traceWriter) turn(t flawless.TracedTurn) error {
	before := ","
	if w.turns++; w.turns == 1 {
		before = w.begin()
	}
	return w.write(before, t, "")
}

func (w *traceWriter) begin() string {
	w.c.SetHeader("Content-Type", "application/json")
	w.c.SetStatus(http.StatusOK)
	return `{"turns":[`
}

// end writes the members of the trace that follow the turns.
func (w *traceWriter) end(t flawless.Trace) error {
	before := ""
	if w.turns == 0 {
		before = w.begin()
	}
	if err := w.write(before+`],"run":`, t.Run, ""); err != nil {
		return err
	}
	if err := w.write(`,"digest":`, t.Digest, ""); err != nil {
		return err
	}
	if t.Divergence != nil {
		return w.write(`,"divergence":`, t.Divergence, "}\n")
	}
	_, err := io.WriteString(w.c.BodyWriter(), "}\n")
	return err
}

func (w *traceWriter) write(before string, v any, after string) error {
	b, err := reply.JSON(shown(w.api.engine, v))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.c.BodyWriter(), "%s%s%s", before, bytes.TrimSuffix(b, []byte("\n")), after)
	return err
}
