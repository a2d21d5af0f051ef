package flawless

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"time"
)

// Logger returns a logger whose lines become lines of the run, with level, fields and call site. In
// a guest it is also what slog.Info and its like use, unless func main sets another. Lines of all
// levels are kept. They are durable together with the turn they were written in, and a replay does not
// write them again. What the log package and fmt print is kept too, as lines of text.
//
// Outside a guest it returns slog.Default(). The logger may be used concurrently.
func Logger() *slog.Logger {
	if !guest {
		return slog.Default()
	}
	return slog.New(&handler{})
}

// handler hands records to the engine.
type handler struct{ steps []step }

// step is one With of a logger: a group that is opened, or attributes.
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
	o := newObject(make([]byte, 0, 256))
	o.str("level", levelName(r.Level))
	if r.NumAttrs() > 0 || len(h.steps) > 0 {
		group(&o, "fields", func(o *object) { writeSteps(o, h.steps, r) })
	}
	if at := recordSite(r); at != "" {
		o.str("at", at)
	}
	return o.end()
}

func recordSite(r slog.Record) string {
	if r.PC == 0 {
		return ""
	}
	f, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
	if f.File == "" {
		return ""
	}
	return place(f.File, f.Line)
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

// group writes a member that is an object, or nothing if the object stays empty.
func group(o *object, name string, fill func(*object)) {
	before := len(o.b)
	o.key(name)
	inner := newObject(o.b)
	empty := len(inner.b)
	fill(&inner)
	if len(inner.b) == empty {
		o.b = inner.b[:before]
		return
	}
	o.b = inner.end()
}

func writeSteps(o *object, steps []step, r slog.Record) {
	if len(steps) == 0 {
		r.Attrs(func(a slog.Attr) bool {
			writeAttr(o, a)
			return true
		})
		return
	}
	s, rest := steps[0], steps[1:]
	if s.group != "" {
		group(o, s.group, func(o *object) { writeSteps(o, rest, r) })
		return
	}
	for _, a := range s.attrs {
		writeAttr(o, a)
	}
	writeSteps(o, rest, r)
}

func writeAttr(o *object, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Key == "" && v.Equal(slog.Value{}) {
		return
	}
	switch v.Kind() {
	case slog.KindGroup:
		inner := func(o *object) {
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
		o.str(a.Key, v.String())
	case slog.KindInt64:
		o.int(a.Key, v.Int64())
	case slog.KindBool:
		o.bool(a.Key, v.Bool())
	case slog.KindFloat64:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			o.str(a.Key, v.String())
		} else {
			o.float(a.Key, f)
		}
	case slog.KindTime:
		o.str(a.Key, v.Time().Format(time.RFC3339Nano))
	case slog.KindUint64:
		o.raw(a.Key, fmt.Append(nil, v.Uint64()))
	case slog.KindDuration:
		o.str(a.Key, v.String())
	default:
		writeAny(o, a.Key, v.Any())
	}
}

func writeAny(o *object, key string, v any) {
	if _, structured := v.(json.Marshaler); !structured {
		if err, ok := v.(error); ok {
			o.str(key, fmt.Sprint(err)) // survives an Error method that panics
			return
		}
	}
	text, err := encode(v)
	if err != nil {
		o.str(key, fmt.Sprintf("%+v", v))
		return
	}
	o.raw(key, text)
}
