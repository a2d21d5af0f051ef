package engine

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func TestTurnBeyondTimeLimitFails(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{TurnTime: 30 * time.Millisecond})
	r := mustEnd(t, e, mustStart(t, e, "spin", nil, "run").ID)
	if r.Status != flawless.Failed || r.Failure.Kind != "time" || !strings.Contains(r.Failure.Message, "30ms") || !strings.Contains(r.Failure.Message, "--turn-time") {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
	if n := inMemory(e); n != 0 {
		t.Errorf("%d places are taken", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := e.verify(ctx, "run"); err != nil {
		t.Errorf("the replay: %v", err)
	}
}

func TestTurnTimeLimitSparesShortTurns(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{TurnTime: time.Minute})
	if r := mustEnd(t, e, mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 3}, "").ID); r.Status != flawless.Completed {
		t.Errorf("it is %+v", r)
	}
}

// TestLongTurnIsReported: in the server's log, and by the run that is in it.
func TestLongTurnIsReported(t *testing.T) {
	t.Parallel()
	lines := make(chan string, 100)
	log := slog.New(slog.NewTextHandler(lineWriter(lines), nil))
	e := open(t, mem.New(), Options{Log: log, longTurn: 10 * time.Millisecond})
	mustStart(t, e, "spin", nil, "run")
	for line := range lines {
		if strings.Contains(line, "a turn takes long") {
			if !strings.Contains(line, "run=run") || !strings.Contains(line, "workflow=spin") {
				t.Errorf("the line is %s", line)
			}
			break
		}
	}
	r, err := e.Run(t.Context(), "run")
	if err != nil || r.Computing == nil || r.Status != flawless.Running {
		t.Errorf("it is %+v, %v", r, err)
	}
	if _, err := e.Terminate(t.Context(), "run", flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	if r := mustEnd(t, e, "run"); r.Computing != nil {
		t.Errorf("it computes since %v", r.Computing)
	}
}

type lineWriter chan<- string

func (w lineWriter) Write(b []byte) (int, error) {
	select {
	case w <- string(b):
	default:
	}
	return len(b), nil
}

// TestLongTurnsYieldToOthers fills every slot with guests that never end.
func TestLongTurnsYieldToOthers(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	var spinning []string
	for range 2*runtime.GOMAXPROCS(0) + 1 {
		spinning = append(spinning, mustStart(t, e, "spin", nil, "").ID)
	}
	for range 3 {
		if r := mustEnd(t, e, mustStart(t, e, "empty", 1, "").ID); r.Status != flawless.Completed || !bytes.Equal(r.Output, []byte("1")) {
			t.Errorf("it is %+v", r)
		}
	}
	for _, id := range spinning {
		if _, err := e.Terminate(t.Context(), id, flawless.Cancel{}); err != nil {
			t.Error(err)
		}
		mustEnd(t, e, id)
	}
}
