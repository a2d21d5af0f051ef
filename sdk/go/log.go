package flawless

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Logger returns a logger that writes to the log of the run: level, message, fields and call site. In a guest it is
// also the default of package slog, unless func main sets another. Lines of all levels are kept. They become durable
// together with the turn in which they were written, and a replay does not write them again. Output of package log
// and of fmt.Print is kept too, as text.
//
// Outside a guest Logger returns slog.Default(). The logger may be used concurrently.
func Logger() *slog.Logger {
	if !abi.Guest {
		return slog.Default()
	}
	return slog.New(&handler{})
}

// handler sends records to the engine.
type handler struct{ steps []step }

// step is a group that was opened, or attributes that were added, by one With call.
type step struct {
	group string
	attrs []slog.Attr
}

func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(step{attrs: attrs})
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(step{group: name})
}

func (h *handler) with(s step) *handler {
	return &handler{steps: append(h.steps[:len(h.steps):len(h.steps)], s)}
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	note("log", h.head(r), []byte(cut(r.Message, maxText)))
	return nil
}

// head returns the head of the note.
func (h *handler) head(r slog.Record) []byte {
	o := wire.NewObject(make([]byte, 0, 256))
	o.Str("level", levelName(r.Level))
	if r.NumAttrs() > 0 || len(h.steps) > 0 {
		group(&o, "fields", func(o *wire.Object) { writeSteps(o, h.steps, r) })
	}
	if at := recordSite(r); at != "" {
		o.Str("at", at)
	}
	return o.End()
}

func recordSite(r slog.Record) string {
	if r.PC == 0 {
		return ""
	}
	f, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
	if f.File == "" {
		return ""
	}
	return site.Line(f.File, f.Line)
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}

// group writes a member that is an object, or nothing if the object is empty.
func group(o *wire.Object, name string, fill func(*wire.Object)) {
	before := len(o.B)
	o.Key(name)
	inner := wire.NewObject(o.B)
	empty := len(inner.B)
	fill(&inner)
	if len(inner.B) == empty {
		o.B = inner.B[:before]
		return
	}
	o.B = inner.End()
}

func writeSteps(o *wire.Object, steps []step, r slog.Record) {
	if len(steps) == 0 {
		r.Attrs(func(a slog.Attr) bool {
			writeAttr(o, a)
			return true
		})
		return
	}
	s, rest := steps[0], steps[1:]
	if s.group != "" {
		group(o, s.group, func(o *wire.Object) { writeSteps(o, rest, r) })
		return
	}
	for _, a := range s.attrs {
		writeAttr(o, a)
	}
	writeSteps(o, rest, r)
}

func writeAttr(o *wire.Object, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Key == "" && v.Equal(slog.Value{}) {
		return
	}
	switch v.Kind() {
	case slog.KindGroup:
		inner := func(o *wire.Object) {
			for _, a := range v.Group() {
				writeAttr(o, a)
			}
		}
		if a.Key == "" {
			inner(o)
		} else {
			group(o, a.Key, inner)
		}
	case slog.KindString:
		o.Str(a.Key, v.String())
	case slog.KindInt64:
		o.Int(a.Key, v.Int64())
	case slog.KindBool:
		o.Bool(a.Key, v.Bool())
	case slog.KindFloat64:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			o.Str(a.Key, v.String())
		} else {
			o.Float(a.Key, f)
		}
	case slog.KindTime:
		o.Str(a.Key, v.Time().Format(time.RFC3339Nano))
	case slog.KindUint64:
		o.Raw(a.Key, fmt.Append(nil, v.Uint64()))
	case slog.KindDuration:
		o.Str(a.Key, v.String())
	default:
		writeAny(o, a.Key, v.Any())
	}
}

func writeAny(o *wire.Object, key string, v any) {
	if _, structured := v.(json.Marshaler); !structured {
		if err, ok := v.(error); ok {
			o.Str(key, fmt.Sprint(err)) // survives an Error method that panics
			return
		}
	}
	text, err := encode(v)
	if err != nil {
		o.Str(key, fmt.Sprintf("%+v", v))
		return
	}
	o.Raw(key, text)
}
