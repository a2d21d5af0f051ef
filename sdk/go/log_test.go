package flawless

import (
	"errors"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
)

func TestLogLinesHaveLevelAndFields(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, row := range []struct {
		name  string
		with  func(slog.Handler) slog.Handler
		level slog.Level
		attrs []slog.Attr
		want  string
	}{
		{"nothing", nil, slog.LevelInfo, nil, `{"level":"info"}`},
		{"levels in between", nil, slog.LevelWarn - 1, nil, `{"level":"info"}`},
		{"debug", nil, slog.LevelDebug, nil, `{"level":"debug"}`},
		{"above error", nil, slog.LevelError + 4, nil, `{"level":"error"}`},
		{"every kind", nil, slog.LevelWarn, []slog.Attr{
			slog.String("s", "\""), slog.Int("i", -1), slog.Uint64("u", math.MaxUint64), slog.Float64("f", 0.5), slog.Float64("nan", math.NaN()),
			slog.Bool("b", true), slog.Duration("d", time.Second), slog.Time("t", at), slog.Any("e", errors.New("bad")),
			slog.Any("v", map[string]int{"x": 1}), slog.Any("c", complex(1, 2)), slog.Any("nil", nil), {},
		}, `{"level":"warn","fields":{"s":"\"","i":-1,"u":18446744073709551615,"f":0.5,"nan":"NaN","b":true,"d":"1s","t":"2026-01-02T03:04:05.000000006Z",` +
			`"e":"bad","v":{"x":1},"c":"(1+2i)","nil":null}}`},
		{"groups", func(h slog.Handler) slog.Handler {
			return h.WithAttrs([]slog.Attr{slog.Int("a", 1)}).WithGroup("g").WithAttrs([]slog.Attr{slog.Int("b", 2)}).WithGroup("h")
		}, slog.LevelInfo, []slog.Attr{slog.Group("", slog.Int("c", 3)), slog.Group("k", slog.Int("d", 4)), slog.Group("empty")},
			`{"level":"info","fields":{"a":1,"g":{"b":2,"h":{"c":3,"k":{"d":4}}}}}`},
		{"empty groups", func(h slog.Handler) slog.Handler { return h.WithGroup("g").WithGroup("h") }, slog.LevelInfo, nil, `{"level":"info"}`},
	} {
		var h slog.Handler = &handler{}
		if row.with != nil {
			h = row.with(h)
		}
		r := slog.NewRecord(at, row.level, "text", 0)
		r.AddAttrs(row.attrs...)
		if got := string(h.(*handler).head(r)); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.want)
		}
	}
}

func TestDerivedLoggersAreIndependent(t *testing.T) {
	t.Parallel()
	base := (&handler{}).WithAttrs([]slog.Attr{slog.Int("a", 1)}).WithAttrs([]slog.Attr{slog.Int("b", 2)})
	one := base.WithAttrs([]slog.Attr{slog.Int("c", 1)})
	two := base.WithAttrs([]slog.Attr{slog.Int("c", 2)})
	r := slog.NewRecord(time.Time{}, slog.LevelInfo, "", 0)
	if a, b := string(one.(*handler).head(r)), string(two.(*handler).head(r)); a == b {
		t.Errorf("both write %s", a)
	}
}

func TestLoggerOutsideGuestIsDefault(t *testing.T) {
	t.Parallel()
	if !abi.Guest && Logger().Handler() != slog.Default().Handler() {
		t.Error("it is not slog's default")
	}
}
