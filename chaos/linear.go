//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/nodes"
)

// rivals are clients that want different things of the same objects at the same time, each at a node of its own, while the
// nodes are attacked. What they were answered must fit some order of their requests, one after another, in which each lies
// between its begin and its answer.
//
// Three kinds of objects are given a value once: an id starts one run, with one input; a promise is settled with one value; a
// call with an unknown outcome gets one decision. The fourth is a shared state that runs count up.
type rivals struct {
	c     *chaos
	began time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

// request is what a client asks for.
type request struct {
	object string
	kind   string // give, look or count
	value  string // for give
}

// answer is what it was told.
type answer struct {
	refused bool   // somebody else was first
	value   string // for look; "" is none
	n       int    // for count, and a look at a state
	lost    bool   // there was no answer: it may take effect at any time
}

// once is the model of an object that is given a value once.
var once = porcupine.Model{
	Partition: byObject,
	Init:      func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(string), input.(request), output.(answer)
		switch {
		case in.kind == "look":
			return out.value == now, now
		case now == "" || now == in.value:
			return out.lost || !out.refused, in.value
		}
		return out.lost || out.refused, now
	},
	DescribeOperation: describe,
}

// counter is the model of a state that is counted up.
var counter = porcupine.Model{
	Partition: byObject,
	Init:      func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(int), input.(request), output.(answer)
		if in.kind == "look" {
			return out.n == now, now
		}
		return out.n == now+1, now + 1
	},
	DescribeOperation: describe,
}

func byObject(all []porcupine.Operation) [][]porcupine.Operation {
	at := map[string]int{}
	var out [][]porcupine.Operation
	for _, op := range all {
		object := op.Input.(request).object
		i, ok := at[object]
		if !ok {
			i = len(out)
			at[object] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], op)
	}
	return out
}

func describe(input, output any) string {
	return fmt.Sprintf("%+v: %+v", input, output)
}

// never is when a request without an answer ends.
const never = int64(1) << 62

// note adds a request and what was answered.
func (r *rivals) note(who int, in request, began time.Time, out answer) {
	end := time.Since(r.began).Nanoseconds()
	if out.lost {
		end = never
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: who, Input: in, Call: began.Sub(r.began).Nanoseconds(), Output: out, Return: end})
}

// compete has several clients fight for the n-th object of each kind, and returns when all have an answer or none.
func (r *rivals) compete(ctx context.Context, n int) error {
	if err := r.c.start(ctx, fmt.Sprintf("asks-%d", n), "asks", []byte(`{}`)); err != nil {
		return err
	}
	in, err := json.Marshal(map[string]any{"outside": r.c.web.URL, "ledger": "", "pause": 0})
	if err != nil {
		return err
	}
	if err := r.c.start(ctx, fmt.Sprintf("loses-%d", n), "loses", in); err != nil {
		return err
	}
	token, err := r.token(ctx, fmt.Sprintf("asks-%d", n))
	if err != nil {
		return err
	}
	unknown, err := r.unknown(ctx, fmt.Sprintf("loses-%d", n))
	if err != nil {
		return err
	}
	id := fmt.Sprintf("one-%d", n)
	objects := map[string]func(ctx context.Context, api *client.Client, value string) error{
		"run " + id: func(ctx context.Context, api *client.Client, value string) error {
			_, _, err := api.Start(ctx, client.Start{Module: "guest", Workflow: "one", Input: json.RawMessage(value), ID: id}, false)
			return err
		},
		"promise " + token: func(ctx context.Context, api *client.Client, value string) error {
			_, err := api.Settle(ctx, token, json.RawMessage(value))
			return err
		},
		"call " + unknown.ID: func(ctx context.Context, api *client.Client, value string) error {
			status, _ := strconv.Atoi(value)
			_, err := api.Resolve(ctx, unknown.ID, flawless.Decision{Call: unknown.Unresolved[0].Call, Resolution: flawless.Respond, Status: status, Note: "one of several"})
			return err
		},
	}
	var all sync.WaitGroup
	failed := make(chan error, 3)
	for who := range 3 {
		all.Go(func() {
			for object, give := range objects {
				r.give(ctx, who, object, strconv.Itoa(200+who), give)
			}
			if err := r.count(ctx, who, fmt.Sprintf("counts-%d-%d", n, who)); err != nil {
				failed <- err
			}
		})
		all.Go(func() {
			r.lookAtCounter(ctx, 3+who)
			r.look(ctx, 3+who, "run "+id, id)
		})
	}
	all.Wait()
	for object, give := range objects {
		if err := r.surely(ctx, object, give); err != nil {
			return err
		}
	}
	for object, id := range map[string]string{"promise " + token: fmt.Sprintf("asks-%d", n), "call " + unknown.ID: unknown.ID} {
		if err := r.end(ctx, object, id); err != nil {
			return err
		}
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// attempt sends a request to one node, once, and returns the error and whether there was an answer.
func (r *rivals) attempt(ctx context.Context, request func(ctx context.Context, api *client.Client) error) (err error, answered bool) {
	api := r.c.members[r.c.n(0, len(r.c.members)-1)].Client()
	ctx, cancel := context.WithTimeout(ctx, 2**lease)
	defer cancel()
	err = request(ctx, api)
	return err, err == nil || ctx.Err() == nil && !nodes.Away(err)
}

// give tries to give a value to an object.
func (r *rivals) give(ctx context.Context, who int, object, value string, do func(ctx context.Context, api *client.Client, value string) error) {
	in, began := request{object, "give", value}, time.Now()
	err, answered := r.attempt(ctx, func(ctx context.Context, api *client.Client) error { return do(ctx, api, value) })
	switch {
	case answered && err == nil:
		r.note(who, in, began, answer{})
	case answered && taken(err):
		r.note(who, in, began, answer{refused: true})
	default:
		r.note(who, in, began, answer{lost: true})
	}
}

// taken reports whether an error says that an object has a value. A promise that is settled is gone.
func taken(err error) bool {
	return errors.Is(err, flawless.Conflict) || errors.Is(err, flawless.NotFound)
}

// surely repeats a request for another value until it is answered, so that the object has one. Its answer proves nothing: it
// may be about the effect of an earlier one.
func (r *rivals) surely(ctx context.Context, object string, do func(ctx context.Context, api *client.Client, value string) error) error {
	const value = "210"
	r.note(6, request{object, "give", value}, time.Now(), answer{lost: true})
	return r.until(ctx, "a value of "+object, func(ctx context.Context, api *client.Client) (bool, error) {
		err := do(ctx, api, value)
		if taken(err) {
			err = nil
		}
		return err == nil, err
	})
}

// look reads which input a run has, which it returns. A request without an answer proves nothing, and neither does a run
// that has not ended.
func (r *rivals) look(ctx context.Context, who int, object, id string) {
	began := time.Now()
	var run flawless.Run
	err, answered := r.attempt(ctx, func(ctx context.Context, api *client.Client) (err error) {
		run, err = api.Run(ctx, id, false)
		return err
	})
	if answered && (err == nil && run.Status == flawless.Completed || errors.Is(err, flawless.NotFound)) {
		r.note(who, request{object, "look", ""}, began, answer{value: string(run.Output)})
	}
}

// end notes what an object is in the end, which the run that has it returns.
func (r *rivals) end(ctx context.Context, object, id string) error {
	began := time.Now()
	run, err := r.ended(ctx, id)
	if err == nil {
		r.note(7, request{object, "look", ""}, began, answer{value: string(run.Output)})
	}
	return err
}

// ended waits for the end of a run.
func (r *rivals) ended(ctx context.Context, id string) (run flawless.Run, err error) {
	err = r.until(ctx, "the end of "+id, func(ctx context.Context, api *client.Client) (bool, error) {
		run, err = api.Run(ctx, id, false)
		if err == nil && run.Status.Ended() && run.Status != flawless.Completed {
			return false, fmt.Errorf("%s is %s: %+v", id, run.Status, run.Failure)
		}
		return run.Status.Ended(), err
	})
	return run, err
}

// count has a run count the state up, and notes what it returned.
func (r *rivals) count(ctx context.Context, who int, id string) error {
	began := time.Now()
	if err := r.c.start(ctx, id, "counts", []byte(`{}`)); err != nil {
		return err
	}
	run, err := r.ended(ctx, id)
	if err != nil {
		return err
	}
	var n int
	if err := json.Unmarshal(run.Output, &n); err != nil {
		return err
	}
	r.note(who, request{"state counted", "count", ""}, began, answer{n: n})
	return nil
}

func (r *rivals) lookAtCounter(ctx context.Context, who int) {
	began := time.Now()
	var s flawless.State
	err, answered := r.attempt(ctx, func(ctx context.Context, api *client.Client) (err error) {
		s, err = api.State(ctx, "counted")
		return err
	})
	var n int
	if answered && (err == nil && (len(s.Value) == 0 || json.Unmarshal(s.Value, &n) == nil) || errors.Is(err, flawless.NotFound)) {
		r.note(who, request{"state counted", "look", ""}, began, answer{n: n})
	}
}

// token waits until a run has a promise.
func (r *rivals) token(ctx context.Context, id string) (token string, err error) {
	err = r.until(ctx, "the promise of "+id, func(ctx context.Context, api *client.Client) (bool, error) {
		all, err := api.Promises(ctx, id)
		if len(all) == 1 {
			token = all[0].Token
		}
		return token != "", err
	})
	return token, err
}

// unknown waits until a run has a call with an unknown outcome.
func (r *rivals) unknown(ctx context.Context, id string) (run flawless.Run, err error) {
	err = r.until(ctx, "the unknown outcome of "+id, func(ctx context.Context, api *client.Client) (bool, error) {
		run, err = api.Run(ctx, id, false)
		return len(run.Unresolved) == 1, err
	})
	return run, err
}

// until asks one node after another until something holds.
func (r *rivals) until(ctx context.Context, what string, holds func(ctx context.Context, api *client.Client) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		did := false
		err, answered := r.attempt(ctx, func(ctx context.Context, api *client.Client) (err error) {
			did, err = holds(ctx, api)
			return err
		})
		if did && err == nil || answered && err != nil {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// check reports what fits no order.
func (r *rivals) check(note func(format string, args ...any)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var given, counted []porcupine.Operation
	for _, op := range r.ops {
		if op.Input.(request).object == "state counted" {
			counted = append(counted, op)
		} else {
			given = append(given, op)
		}
	}
	lost := 0
	for _, op := range r.ops {
		if op.Output.(answer).lost {
			lost++
		}
	}
	fmt.Printf("%d requests of rivals for the same objects, %d of them without an answer\n", len(r.ops), lost)
	for _, object := range byObject(given) {
		if !porcupine.CheckOperations(once, object) {
			note("the answers to rivals fit no order: %s", told(object))
		}
	}
	if result := porcupine.CheckOperationsTimeout(counter, counted, time.Minute); result != porcupine.Ok {
		note("the answers about the counter fit no order (%s): %s", result, told(counted))
	}
}

func told(ops []porcupine.Operation) (text string) {
	for _, op := range ops {
		text += fmt.Sprintf("\n  client %d from %v to %v: %s", op.ClientId, time.Duration(op.Call).Round(time.Millisecond), time.Duration(op.Return).Round(time.Millisecond), describe(op.Input, op.Output))
	}
	return text
}
