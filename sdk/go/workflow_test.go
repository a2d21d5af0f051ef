package flawless_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

func TestRegistrationMistakesPanic(t *testing.T) {
	t.Parallel()
	f := func(context.Context, int) (int, error) { return 0, nil }
	flawless.Workflow("taken", f, flawless.Doc("Does nothing."))
	for name, register := range map[string]func(){
		"no name":             func() { flawless.Workflow(" ", f) },
		"is registered twice": func() { flawless.Workflow("taken", f) },
		"no function":         func() { flawless.Workflow[int, int]("nil", nil) },
	} {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.Contains(s, name) || !strings.HasPrefix(s, "flawless: ") {
					t.Errorf("%s: panic %q", name, s)
				}
			}()
			register()
		}()
	}
}

func TestPanicIsReportedWithStack(t *testing.T) {
	t.Parallel()
	end := flawless.CarryOut(t.Context(), func(context.Context) (any, error) { return deep(nil), nil })
	var f struct{ Kind, Message, Stack string }
	if err := json.Unmarshal(end, &f); err != nil {
		t.Fatal(err)
	}
	if f.Kind != "panic" || !strings.Contains(f.Message, "nil pointer") || !strings.Contains(f.Stack, "go_test.deep\n    go/workflow_test.go:") {
		t.Errorf("got %+v", f)
	}
	if strings.Contains(f.Stack, "runtime.") || strings.Contains(f.Stack, "carryOut") {
		t.Errorf("the stack has frames of the runtime or the SDK:\n%s", f.Stack)
	}
}

func deep(p *struct{ n int }) int { return p.n }

func TestGoexitAndBrokenPanicsFailTheRun(t *testing.T) {
	t.Parallel()
	done := make(chan []byte, 1)
	go flawless.CarryOutTo(t.Context(), func(context.Context) (any, error) { runtime.Goexit(); return nil, nil }, done)
	if end := string(<-done); !strings.Contains(end, `"error"`) || !strings.Contains(end, "Goexit") {
		t.Errorf("Goexit: %s", end)
	}
	end := string(flawless.CarryOut(t.Context(), func(context.Context) (any, error) { panic(error((*flawless.CallError)(nil))) }))
	if !strings.Contains(end, `"panic"`) {
		t.Errorf("a nil error as a panic: %s", end)
	}
}

func TestCancelledIsContextCanceled(t *testing.T) {
	t.Parallel()
	if err := error(&flawless.Cancelled{By: "a"}); !errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Error("Cancelled does not match context.Canceled, or too much")
	}
}

func TestCallSiteIsInUserCode(t *testing.T) {
	t.Parallel()
	for range 2 { // found, and remembered
		_, _, line, _ := runtime.Caller(0)
		if got, want := flawless.CallSite(), fmt.Sprint("go/workflow_test.go:", line+1); got != want {
			t.Errorf("call site %q, want %q", got, want)
		}
	}
}

// picky has its own word for null.
type picky struct{ saw string }

func (p *picky) UnmarshalJSON(b []byte) error {
	p.saw = string(b)
	return nil
}

func TestNullInput(t *testing.T) {
	var own picky
	var pointer *int
	var nothing any
	for _, in := range []any{&own, &pointer, &nothing} {
		if err := flawless.Decode([]byte("null"), in); err != nil {
			t.Errorf("null into %T: %v", in, err)
		}
	}
	if own.saw != "null" || pointer != nil || nothing != nil {
		t.Errorf("it was read as %q, %v, %v", own.saw, pointer, nothing)
	}
	if b, err := flawless.Encode(nil); string(b) != "null" || err != nil {
		t.Errorf("nothing is written as %q, %v", b, err)
	}
}
