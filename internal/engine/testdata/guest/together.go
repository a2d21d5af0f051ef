package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Together is what became of everything that a run does with others.
type Together struct {
	Done, Count int
	Approved    string
	Helped      string
	ChildError  string
	SendError   string
	Expired     string
}

// together makes every kind of call that concerns other runs.
func together(ctx context.Context, in Task) (out Together, err error) {
	helper := flawless.Spawn[Helping, string](ctx, "helper", Helping{URL: in.URL, Parent: flawless.RunID()})
	failing := flawless.Spawn[string, any](ctx, "guest/fail", "no luck", flawless.Detached())
	if err := flawless.Send(ctx, helper.ID(), "work", 21); err != nil {
		return out, err
	}
	if out.Done, err = flawless.Receive[int](ctx, "done"); err != nil {
		return out, err
	}
	if err := flawless.State[int]("count").Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
		return out, err
	}
	p := flawless.NewPromise[string](ctx, "approval")
	if _, err := flawless.Post(ctx, in.URL+"/approve", "text/plain", []byte(p.Token()), flawless.Idempotent()); err != nil {
		return out, err
	}
	if out.Approved, err = p.Wait(ctx); err != nil {
		return out, err
	}
	if out.Helped, err = helper.Wait(ctx); err != nil {
		return out, err
	}
	_, err = failing.Wait(ctx)
	var child *flawless.ChildError
	if !errors.As(err, &child) {
		return out, fmt.Errorf("a child that fails: %v", err)
	}
	out.ChildError = child.Kind + ": " + child.Message
	var call *flawless.CallError
	if err := flawless.Send(ctx, helper.ID(), "work", 1); !errors.As(err, &call) {
		return out, fmt.Errorf("a message to a run that has ended: %v", err)
	}
	out.SendError = call.Kind
	_, err = flawless.NewPromise[int](ctx, "never", flawless.Expires(time.Millisecond)).Wait(ctx)
	if !errors.As(err, &call) {
		return out, fmt.Errorf("a promise that expires: %v", err)
	}
	out.Expired = call.Kind
	out.Count, err = flawless.State[int]("count").Get(ctx)
	return out, err
}

// Helping is the task of a helper.
type Helping struct{ URL, Parent string }

func helper(ctx context.Context, in Helping) (string, error) {
	n, err := flawless.Receive[int](ctx, "work")
	if err != nil {
		return "", err
	}
	if _, err := post(ctx, in.URL+"/helped", flawless.Idempotent()); err != nil {
		return "", err
	}
	if err := flawless.State[int]("count").Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
		return "", err
	}
	if err := flawless.Send(ctx, in.Parent, "done", 2*n); err != nil {
		return "", err
	}
	return fmt.Sprintf("helped with %d", n), nil
}

// family spawns children, and waits for them.
func family(ctx context.Context, n int) (int, error) {
	children := make([]*flawless.Child[int], n)
	for i := range children {
		children[i] = flawless.Spawn[int, int](ctx, "empty", i)
	}
	got, err := flawless.WaitAll(ctx, children...)
	sum := 0
	for _, v := range got {
		sum += v
	}
	return sum, err
}

// clan spawns two of its kind so many generations deep, and waits for them. The last sleeps for an hour.
func clan(ctx context.Context, generations int) (int, error) {
	if generations == 0 {
		return 1, flawless.Sleep(ctx, time.Hour)
	}
	a := flawless.Spawn[int, int](ctx, "clan", generations-1)
	b := flawless.Spawn[int, int](ctx, "clan", generations-1)
	got, err := flawless.WaitAll(ctx, a, b)
	sum := 1
	for _, n := range got {
		sum += n
	}
	return sum, err
}

// parent spawns a child that waits, and one that is detached.
func parent(ctx context.Context, detached bool) (string, error) {
	var opts []flawless.SpawnOption
	if detached {
		opts = append(opts, flawless.Detached())
	}
	c := flawless.Spawn[any, string](ctx, "obey", nil, opts...)
	return c.Wait(ctx)
}

// orphan spawns a child and ends.
func orphan(ctx context.Context, _ any) (string, error) {
	return flawless.Spawn[int, int](ctx, "empty", 7).ID(), nil
}

// mailbox receives n messages, of which it wants each within a millisecond at first.
func mailbox(ctx context.Context, n int) ([]int, error) {
	got := []int{}
	for len(got) < n {
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		v, err := flawless.Receive[int](short, "number")
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			v, err = flawless.Receive[int](ctx, "number")
		}
		if err != nil {
			return got, err
		}
		got = append(got, v)
	}
	return got, nil
}

// counter answers questions until it is asked to stop.
func counter(ctx context.Context, _ any) (int, error) {
	stop := flawless.Messages[any]("stop")
	questions := make(chan flawless.Message[int])
	go func() {
		for {
			m, err := flawless.ReceiveMessage[int](ctx, "add")
			if err != nil {
				return
			}
			questions <- m
		}
	}()
	sum := 0
	for {
		select {
		case m := <-questions:
			sum += m.Value
			if err := m.Reply(sum); err != nil {
				return sum, err
			}
		case <-stop:
			return sum, nil
		}
	}
}

// lastWord replies to a question, and then waits for nothing.
func lastWord(ctx context.Context, _ any) (any, error) {
	m, err := flawless.ReceiveMessage[int](ctx, "add")
	if err != nil {
		return nil, err
	}
	if err := m.Reply(m.Value); err != nil {
		return nil, err
	}
	<-make(chan int)
	return nil, nil
}

// Taking says which states a run takes, one within the other.
type Taking struct {
	First, Second string
	Meet          string `json:",omitempty"` // the run that must have its first, too
}

func take(ctx context.Context, in Taking) (string, error) {
	err := flawless.State[int](in.First).Update(ctx, func(n *int) error {
		if in.Meet != "" {
			if err := flawless.Send(ctx, in.Meet, "there", nil); err != nil {
				return err
			}
		}
		if _, err := flawless.Receive[any](ctx, "there"); err != nil {
			return err
		}
		return flawless.State[int](in.Second).Update(ctx, func(m *int) error {
			*n++
			*m++
			return nil
		})
	})
	var call *flawless.CallError
	if errors.As(err, &call) {
		return call.Kind, nil
	}
	return "took both", err
}

// keep takes a state and holds it until it is asked to release it.
func keep(ctx context.Context, how string) (string, error) {
	err := flawless.State[string]("kept").Update(ctx, func(v *string) error {
		_ = flawless.SetData("holds")
		what, err := flawless.Receive[string](ctx, "go")
		if err != nil {
			return err
		}
		*v += what
		if how == "fail" {
			return errors.New("changed its mind")
		}
		return nil
	})
	return "kept", err
}

// add changes a state.
func add(ctx context.Context, n int) (int, error) {
	sum := 0
	err := flawless.State[int]("sum").Update(ctx, func(v *int) error {
		*v += n
		sum = *v
		return nil
	})
	return sum, err
}

// promise makes one, and publishes its token.
func promise(ctx context.Context, _ any) (any, error) {
	p := flawless.NewPromise[any](ctx, "answer")
	_ = flawless.SetData(map[string]string{"token": p.Token(), "url": p.URL()})
	return p.Wait(ctx)
}

// itself does what depends on what its run is called, before and after it is asked to go on.
func itself(ctx context.Context, _ any) (out struct {
	Before, After, Old, New string
	Mail                    int
}, err error) {
	out.Before = flawless.RunID()
	old := flawless.NewPromise[string](ctx, "old")
	if _, err := flawless.Receive[string](ctx, "go"); err != nil {
		return out, err
	}
	out.After = flawless.RunID()
	p := flawless.NewPromise[string](ctx, "new")
	_ = flawless.SetData(map[string]string{"token": p.Token(), "url": p.URL()})
	if out.New, err = p.Wait(ctx); err != nil {
		return out, err
	}
	for _, id := range []string{out.Before, out.After, flawless.RunID()} {
		if err := flawless.Send(ctx, id, "self", id); err != nil {
			return out, err
		}
		if _, err := flawless.Receive[string](ctx, "self"); err != nil {
			return out, err
		}
		out.Mail++
	}
	out.Old, err = old.Wait(ctx)
	return out, err
}

// pingpong sends n messages to another run and waits for as many.
func pingpong(ctx context.Context, in struct {
	N     int
	Other string `json:",omitempty"`
}) (int, error) {
	other := in.Other
	if other == "" {
		m, err := flawless.ReceiveMessage[int](ctx, "ball")
		if err != nil {
			return 0, err
		}
		other = m.From
	}
	for n := range in.N {
		if err := flawless.Send(ctx, other, "ball", n); err != nil {
			return n, err
		}
		if n == in.N-1 && in.Other == "" {
			break
		}
		if _, err := flawless.Receive[int](ctx, "ball"); err != nil {
			return n, err
		}
	}
	return in.N, nil
}

// find charges once, and asks what became of it where nobody knows.
func find(ctx context.Context, in Task) (string, error) {
	return post(ctx, in.URL+"/once", flawless.Confirm(func(ctx context.Context, key string) (flawless.Outcome, error) {
		r, err := flawless.Get(ctx, in.URL+"/find/"+key)
		switch {
		case err != nil:
			return flawless.CannotTell(), err
		case r.Status == 404:
			return flawless.DidNotHappen(), nil
		case r.Status == 200:
			return flawless.Happened(r), nil
		}
		return flawless.CannotTell(), nil
	}))
}

// Trip says which step of a saga fails, and how.
type Trip struct {
	URL   string
	Fail  string `json:",omitempty"` // a step whose do fails
	Stay  string `json:",omitempty"` // a step whose undo fails
	Fall  string `json:",omitempty"` // a step whose undo panics
	Crash string `json:",omitempty"` // a step that panics
}

func trip(ctx context.Context, in Trip) (string, error) {
	err := flawless.InSaga(ctx, func(s *flawless.Saga) error {
		for _, name := range []string{"flight", "hotel", "car"} {
			err := s.Step(name, func(ctx context.Context) error {
				if name == in.Fail {
					return errors.New("sold out")
				}
				if name == in.Crash {
					panic("lost on the trip of " + flawless.RunID())
				}
				_, err := post(ctx, in.URL+"/book/"+name)
				return err
			}, func(ctx context.Context) error {
				if name == in.Stay {
					return errors.New("no refund")
				}
				if name == in.Fall {
					panic("no receipt")
				}
				_, err := post(ctx, in.URL+"/cancel/"+name, flawless.Idempotent())
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	}, flawless.UndoRetry{Attempts: 2, Initial: time.Millisecond})
	if err != nil {
		return "", err
	}
	return "booked", nil
}

// stubborn does not care whether it is cancelled.
func stubborn(context.Context, any) (any, error) {
	time.Sleep(1000 * time.Hour)
	return "late", nil
}

// spawn returns the kind of error that a child's start gives.
func spawn(ctx context.Context, name string) (string, error) {
	_, err := flawless.Spawn[int, int](ctx, name, 1).Wait(ctx)
	var call *flawless.CallError
	if errors.As(err, &call) {
		return call.Kind, nil
	}
	return "", err
}

// tell spawns a mailbox and sends it a message.
func tell(ctx context.Context, n int) ([]int, error) {
	child := flawless.Spawn[int, []int](ctx, "mailbox", 1)
	if err := flawless.Send(ctx, child.ID(), "number", n); err != nil {
		return nil, err
	}
	return child.Wait(ctx)
}

// late waits for a message when it has been cancelled already.
func late(ctx context.Context, _ any) (any, error) {
	_ = flawless.Sleep(ctx, 1000*time.Hour)
	_, err := flawless.Spawn[any, any](context.WithoutCancel(ctx), "obey", nil, flawless.Detached()).Wait(ctx)
	return nil, err
}

// heirs are three that wait for messages, the first of which gives up: the messages are the others'.
func heirs(ctx context.Context, _ any) ([]int, error) {
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	got, errs := make([]int, 3), make([]error, 3)
	var wg sync.WaitGroup
	for k, ctx := range []context.Context{short, ctx, ctx} {
		wg.Go(func() {
			got[k], errs[k] = flawless.Receive[int](ctx, "number")
			if k == 0 {
				_ = flawless.SetData("gave up")
			}
		})
		time.Sleep(time.Millisecond)
	}
	wg.Wait()
	if !errors.Is(errs[0], context.DeadlineExceeded) {
		return got, fmt.Errorf("the first one: %w", errs[0])
	}
	return got[1:], errors.Join(errs[1:]...)
}

// impatient waits a moment for what others wait for forever.
func impatient(ctx context.Context, _ any) (string, error) {
	p := flawless.NewPromise[int](ctx, "never")
	c := flawless.Await[any](flawless.RunID())
	f := flawless.Fresh(time.Hour, func(ctx context.Context) (int, error) { return p.Wait(ctx) })
	for name, wait := range map[string]func(context.Context) error{
		"a promise": func(ctx context.Context) error { _, err := p.Wait(ctx); return err },
		"a child":   func(ctx context.Context) error { _, err := c.Wait(ctx); return err },
		"a value":   func(ctx context.Context) error { _, err := f.Get(ctx); return err },
		"a message": func(ctx context.Context) error { _, err := flawless.Receive[int](ctx, "never"); return err },
	} {
		go func() { _ = wait(ctx) }()
		time.Sleep(time.Millisecond)
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		err := wait(short)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return name, err
		}
	}
	return "gave up", nil
}

// hasty ends while another goroutine changes a state.
func hasty(ctx context.Context, name string) (string, error) {
	changed := make(chan struct{})
	go func() {
		_ = flawless.State[int](name).Update(ctx, func(n *int) error {
			*n++
			close(changed)
			return nil
		})
	}()
	<-changed
	return "left", nil
}
