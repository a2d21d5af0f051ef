package guest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/symbol"
	"github.com/flawless-engine/flawless/internal/guest/wasabi"
)

// In is the input of a turn.
type In struct {
	Time    int64 // clock of the turn, Unix nanoseconds; it never goes back
	Answers []flawless.Answer
	As      *flawless.Self // the id and URL that the guest sees from now on, nil if they are unchanged

	// Expect is the calls that a replay expects in the turn, nil if this is no replay. A call that matches one of them
	// gets its number, whatever the order in which they are made. Other calls get higher numbers.
	Expect []flawless.Call
	// Stacks asks for Out.Stacks.
	Stacks bool
	// Same reports whether a call matches an expected one; nil is flawless.Call.Same.
	Same func(expected, made flawless.Call) bool
}

// Out is what a turn produced.
type Out struct {
	Calls  []flawless.Call
	Lines  []flawless.Line
	Data   []byte            // published last, nil if nothing was published
	Labels map[string]string // labels that were set; "" removes one
	Steps  []flawless.Step   // of sagas, see flawless.Turn
	Wake   int64             // when the next timer is due, Unix nanoseconds; 0 is never
	Ended  *flawless.Ended
	Cost   uint64                // in metered units
	Stacks []flawless.TracedCall // of the code that made the calls; empty ones if the guest is not in Go
}

// Turn lets the guest compute until it is idle. If the guest panics, traps, exits or goes over a limit, it has ended,
// as Out.Ended says. An error is one of the host: ctx has ended or the instance is released. Then the turn was not
// taken, and the guest can only be released.
func (i *Instance) Turn(ctx context.Context, in In) (Out, error) {
	if i.released || i.spoiled {
		return Out{}, fmt.Errorf("taking a turn of a guest that has ended: %w", flawless.Conflict)
	}
	if err := ctx.Err(); err != nil {
		i.spoiled = true
		return Out{}, err
	}
	i.now = max(in.Time, i.now)
	if in.As != nil {
		i.setSelf(*in.As)
	}
	i.turns++
	if i.turns > 1 {
		i.deliver(in.Answers)
	}
	i.begin(ctx)
	if i.tracer != nil {
		i.tracer.begin(i.turns)
	}
	i.expect, i.same, i.stacked = slices.Clone(in.Expect), in.Same, in.Stacks
	i.taken = i.made
	for _, c := range in.Expect {
		i.taken = max(i.taken, c.N)
	}
	var err error
	switch {
	case i.resume == nil:
		err = i.step()
	case i.turns == 1:
		err = i.invoke(i.start)
	default:
		err = i.invoke(i.resume)
	}
	i.count()
	i.endLines()
	out := i.out
	out.Cost = i.used
	i.out = Out{}
	if err != nil {
		i.spoiled, i.broken = true, true
		var stop *interrupted
		if errors.As(err, &stop) {
			return Out{}, stop.err
		}
		if out.Ended == nil {
			out.Ended = &flawless.Ended{Failure: i.failure(err, out.Lines)}
		}
	}
	i.open = flawless.OpenSteps(i.open, out.Steps)
	if out.Ended != nil {
		i.spoiled = true
		out.Wake = 0
		out.Lines = append(out.Lines, flawless.ReportOpenSteps(out.Ended, i.open)...)
	}
	return out, nil
}

// begin resets the meter and the output.
func (i *Instance) begin(ctx context.Context) {
	i.turnCtx = ctx
	i.out = Out{}
	i.over = false
	i.used, i.weight, i.lineBytes, i.items = 0, 0, 0, 0
	i.refill()
}

// limit returns how many units the turn may use, 0 is unlimited.
func (i *Instance) limit() uint64 {
	if i.describing {
		return initUnits
	}
	return i.m.rt.options.TurnUnits
}

// refill gives the guest another quantum, or what is left of its limit.
func (i *Instance) refill() {
	i.filled = quantum
	if limit := i.limit(); limit > 0 {
		i.filled = int64(min(quantum, limit-min(i.used, limit)))
	}
	i.units.Set(uint64(i.filled))
}

// count adds the units that were used since the last refill.
func (i *Instance) count() {
	left := int64(i.units.Get())
	i.used += uint64(i.filled - left)
	i.filled = left
}

// deliver makes answers visible to the guest, except those of calls that it has closed.
func (i *Instance) deliver(answers []flawless.Answer) {
	for _, a := range answers {
		if i.unwanted[a.Call] {
			delete(i.unwanted, a.Call)
			continue
		}
		i.order++
		i.visible[a.Call] = visible{a, i.order}
	}
}

// invoke calls a function of the guest. It turns panics into errors.
func (i *Instance) invoke(f api.Function) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the WebAssembly runtime failed: %v", p)
		}
	}()
	return f.CallWithStack(i.ctx, i.stack[:])
}

// failure returns how a guest failed. Replay compares the kind with the logged one, so the kind of a failure never
// changes. Messages may be reworded, except of "panic", which are the guest's own.
func (i *Instance) failure(err error, lines []flawless.Line) *flawless.Failure {
	var broke *fault
	var exit *exited
	message, stack := printedPanic(lines)
	if i.m.crate != nil {
		message, stack = wasabi.Panic(lines)
	}
	if errors.As(err, &exit) && exit.code != panicCode {
		message = "" // it exited by itself, so what it printed was no panic
	}
	switch {
	case errors.As(err, &broke):
		return &flawless.Failure{Kind: broke.kind, Message: broke.text, Stack: wasmStack(err)}
	case strings.Contains(message, "out of memory") || strings.Contains(message, "cannot allocate memory") || strings.HasPrefix(message, outOfMemory):
		return &flawless.Failure{Kind: "memory", Message: fmt.Sprintf("the guest needs more than its limit of %d MiB of memory: %s", i.m.rt.options.MemoryPages/16, message), Stack: stack}
	case message != "":
		return &flawless.Failure{Kind: "panic", Message: message, Stack: stack}
	case errors.As(err, &exit):
		return &flawless.Failure{Kind: "exit", Message: fmt.Sprintf("the guest exited with code %d before its workflow had finished", exit.code)}
	case int32(i.depth.Get()) < 0:
		return &flawless.Failure{Kind: "trap", Message: fmt.Sprintf("stack overflow: the guest's stack is deeper than %d calls: endless recursion?", depth), Stack: wasmStack(err)}
	case i.overflowed(err):
		return &flawless.Failure{Kind: "trap", Message: "stack overflow: the guest has used up its stack, which is 1 MiB in Rust: endless recursion, or large values in local variables? Keep those in a Box or a Vec; a larger stack is linked with -C link-arg=-zstack-size=BYTES", Stack: wasmStack(err)}
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return &flawless.Failure{Kind: "trap", Message: first, Stack: wasmStack(err)}
}

// outOfMemory is what Rust prints if there is no memory for an allocation, followed by its size.
const outOfMemory = "memory allocation of "

// overflowed reports whether the guest has written below its stack. In Rust and C the stack grows down to the
// beginning of memory, and the first global is the stack pointer. A leaf function need not update it, hence the
// margin.
func (i *Instance) overflowed(err error) bool {
	const below = 16 << 10
	return !strings.HasPrefix(i.m.manifest.SDK, "go/") && strings.Contains(err.Error(), "out of bounds memory access") &&
		len(i.globals) > 0 && int32(i.globals[0].Get()) < below
}

// panicCode is the exit code of a Go guest that panics.
const panicCode = 2

// printedPanic returns the message and the stack that Go and Rust print when they panic, "" if there is none.
func printedPanic(lines []flawless.Line) (message, stack string) {
	at := -1
	for n, l := range slices.Backward(lines) {
		if l.Level == "stderr" && (strings.HasPrefix(l.Text, "panic: ") || strings.HasPrefix(l.Text, "fatal error: ") ||
			strings.HasPrefix(l.Text, "runtime: out of memory") || strings.Contains(l.Text, "panicked at ") || strings.HasPrefix(l.Text, outOfMemory)) {
			at = n
		}
	}
	if at < 0 {
		return "", ""
	}
	var b strings.Builder
	for _, l := range lines[at+1:] {
		if l.Level == "stderr" && b.Len() < 64<<10 {
			b.WriteString(l.Text)
			b.WriteByte('\n')
		}
	}
	return lines[at].Text, strings.Trim(b.String(), "\n")
}

// wasmStack returns the part of an error of the WebAssembly runtime that names the functions of the guest.
func wasmStack(err error) string {
	_, stack, _ := strings.Cut(err.Error(), "wasm stack trace:\n")
	return regexp.MustCompile(`_[RZ][\w.$]+`).ReplaceAllStringFunc(stack, symbol.Demangle)
}

// stepping runs a guest without a scheduler in a goroutine of its own, because the guest blocks in the middle of its
// function.
type stepping struct {
	paused chan struct{} // receives when the guest waits
	goOn   chan struct{} // continues the guest; closed to abandon it
	done   chan error    // receives when its function has returned
	ended  bool
}

type abandoned struct{}

func (*abandoned) Error() string { return "the guest was released" }

// main runs the function of a guest without a scheduler, from its start to its end.
func (i *Instance) main() error {
	crate := i.m.crate
	if crate == nil {
		return i.invoke(i.start)
	}
	functions := crate.Functions(i.workflow)
	if functions == nil {
		return &fault{"error", fmt.Sprintf("the module has no workflow %q", i.workflow)}
	}
	i.session = crate.Begin(crateGuest{i})
	for _, name := range functions {
		if err := i.invoke(i.mod.ExportedFunction(name)); err != nil {
			return err
		}
	}
	i.out.Ended = &flawless.Ended{Output: i.session.Output()}
	return nil
}

// step continues a guest without a scheduler until it waits or returns.
func (i *Instance) step() error {
	if i.stepping == nil {
		i.stepping = &stepping{make(chan struct{}), make(chan struct{}), make(chan error, 1), false}
		go func() { i.stepping.done <- i.main() }()
	} else {
		i.stepping.goOn <- struct{}{}
	}
	select {
	case <-i.stepping.paused:
		return nil
	case err := <-i.stepping.done:
		i.stepping.ended = true
		if err == nil && i.out.Ended == nil {
			err = &fault{"error", "the guest returned without a result: its workflow did not call finish"}
		}
		return err
	}
}

// pause ends the turn in the middle of the guest's function, and returns in the next turn.
func (i *Instance) pause() {
	i.stepping.paused <- struct{}{}
	if _, open := <-i.stepping.goOn; !open {
		panic(&abandoned{})
	}
}

// abandon ends the goroutine of a waiting guest.
func (s *stepping) abandon() {
	if !s.ended {
		close(s.goOn)
		<-s.done
	}
}
