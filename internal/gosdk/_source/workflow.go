package flawless

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless/sdk/go/internal/schema"
	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Version is the version of the SDK, which the manifest of a module contains.
const Version = "0.1.0"

// WorkflowOption is an option for [Workflow]: [Doc].
type WorkflowOption interface{ describe(*workflow) }

// Doc is a [WorkflowOption] that describes the workflow for people.
type Doc string

func (d Doc) describe(w *workflow) { w.doc = string(d) }

// Workflow registers f as a workflow under a name. Call it in func main, once for each workflow of the module; main
// must then return.
//
// The input of a run is JSON, decoded into In as encoding/json does; fields that In does not have are ignored. The
// value of type Out is encoded as the output of the run. The manifest of the module has a JSON Schema for both: a
// field is required unless it is marked omitempty or omitzero, and the tag `doc:"…"` describes it.
//
// Each run calls f once. The run completes with the value that f returns, or fails with its error. When somebody
// cancels the run, ctx ends with a [*Cancelled] as its cause; if f then returns an error that is context.Canceled
// according to errors.Is, the run is cancelled. A panic in f fails the run, with its stack. A panic in another
// goroutine ends the guest, as it ends any Go program, and nothing is undone (see [InSaga]). When f returns, its
// remaining goroutines stop.
//
// Workflow panics if the name is empty or already registered, or if f is nil. A module in which In or Out of a
// workflow cannot be JSON cannot be added to an engine; the error names the type.
func Workflow[In, Out any](name string, f func(ctx context.Context, in In) (Out, error), opts ...WorkflowOption) {
	w := workflow{name: name, in: reflect.TypeFor[In](), out: reflect.TypeFor[Out]()}
	if f != nil {
		w.run = func(ctx context.Context, input []byte) (any, error) {
			var in In
			if err := decode(input, &in); err != nil {
				return nil, err
			}
			return f(ctx, in)
		}
	}
	for _, opt := range opts {
		opt.describe(&w)
	}
	workflows.add(w)
}

type workflow struct {
	name, doc string
	in, out   reflect.Type
	run       func(ctx context.Context, input []byte) (any, error)
}

// registry holds what func main registers.
type registry struct {
	sync.Mutex
	list []workflow
	keys []hostKey
}

// workflows is the registry of the guest.
var workflows registry

func (r *registry) add(w workflow) {
	r.Lock()
	defer r.Unlock()
	if strings.TrimSpace(w.name) == "" {
		panic("flawless: a workflow has no name; pass one as the first argument of flawless.Workflow")
	}
	if w.run == nil {
		panic(fmt.Sprintf("flawless: workflow %q has no function; pass one as the second argument of flawless.Workflow", w.name))
	}
	for i := range r.list {
		if r.list[i].name == w.name {
			panic(fmt.Sprintf("flawless: workflow %q is registered twice; names must be unique within a module", w.name))
		}
	}
	r.list = append(r.list, w)
}

// find returns the workflow with that name, or an error that lists the names there are.
func (r *registry) find(name string) (*workflow, error) {
	r.Lock()
	defer r.Unlock()
	var names []string
	for i := range r.list {
		if r.list[i].name == name {
			return &r.list[i], nil
		}
		names = append(names, r.list[i].name)
	}
	if names == nil {
		return nil, fmt.Errorf("no workflow %q: the module has none; register it with flawless.Workflow in func main", name)
	}
	return nil, fmt.Errorf("no workflow %q: the module has %s", name, strings.Join(names, ", "))
}

// manifest returns the manifest of the module.
func (r *registry) manifest() []byte {
	r.Lock()
	defer r.Unlock()
	o := wire.NewObject(nil)
	o.Str("sdk", "go/"+Version)
	o.Key("workflows")
	o.B = append(o.B, '[')
	for i := range r.list {
		if i > 0 {
			o.B = append(o.B, ',')
		}
		o.B = r.list[i].appendManifest(o.B)
	}
	o.B = append(o.B, ']')
	o.Raw("hosts", []byte("[]"))
	if len(r.keys) > 0 {
		o.Key("keys")
		o.B = appendKeys(o.B, r.keys)
	}
	return o.End()
}

func (w *workflow) appendManifest(b []byte) []byte {
	o := wire.NewObject(b)
	o.Str("name", w.name)
	if w.doc != "" {
		o.Str("doc", w.doc)
	}
	o.Raw("input", w.schema(w.in, true))
	o.Raw("output", w.schema(w.out, false))
	return o.End()
}

// schema panics if the type cannot be JSON: the author has to know before the module is added.
func (w *workflow) schema(t reflect.Type, reads bool) []byte {
	s, err := schema.Of(t, reads)
	if err != nil {
		which := "output"
		if reads {
			which = "input"
		}
		panic(fmt.Sprintf("flawless: workflow %q: its %s cannot be JSON: %v", w.name, which, err))
	}
	return s
}

// prepare makes encoding/json inspect the types of all workflows, which it does only once per type.
func (r *registry) prepare() {
	for i := range r.list {
		for _, t := range []reflect.Type{r.list[i].in, r.list[i].out} {
			for t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			if schema.IsStruct(t) {
				_ = json.Unmarshal([]byte("{}"), reflect.New(t).Interface()) // cannot fail: the object is empty
			}
		}
	}
}

// ending is how a run ended: its output, or a failure.
type ending struct {
	ok   bool
	text []byte // JSON
}

// carryOut runs the workflow and passes its ending to finish, even if the function ends its goroutine.
func (w *workflow) carryOut(ctx context.Context, input []byte, finish func(ending)) {
	var end ending
	returned := false
	defer func() {
		if v := recover(); v != nil {
			end = failure("panic", explained(fmt.Sprint(v)), site.PanicStack())
		} else if !returned {
			end = failure("error", "the workflow ended its goroutine with runtime.Goexit; return instead", "")
		}
		finish(end)
	}()
	out, err := w.run(ctx, input)
	if err != nil {
		end = failed(ctx, err)
	} else {
		end = completed(out)
	}
	returned = true
}

func completed(out any) ending {
	text, err := encode(out)
	if err != nil {
		return failure("error", "the output cannot be written as JSON: "+err.Error(), "")
	}
	if len(text) > maxBody {
		return failure("error", fmt.Sprintf("the output has %d bytes, the limit is %d; store it elsewhere and return its location", len(text), maxBody), "")
	}
	return ending{ok: true, text: text}
}

func failed(ctx context.Context, err error) ending {
	var c *Cancelled
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &c) {
		return failure("cancelled", err.Error(), "")
	}
	return failure("error", explained(err.Error()), "")
}

func failure(kind, message, stack string) ending {
	o := wire.NewObject(nil)
	o.Str("kind", kind)
	o.Str("message", cut(message, maxText))
	if stack != "" {
		o.Str("stack", stack)
	}
	return ending{text: o.End()}
}

// decode reads the input into in, which points to a zero value.
func decode(input []byte, in any) error {
	if _, own := in.(json.Unmarshaler); len(input) == 0 || string(input) == "null" && !own {
		return nil // null leaves a zero value as it is
	}
	if err := json.Unmarshal(input, in); err != nil {
		return fmt.Errorf("the input does not fit the workflow: %w", err)
	}
	return nil
}
