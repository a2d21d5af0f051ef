package flawless_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

func ExampleWorkflow() {
	type order struct {
		Item string `json:"item" doc:"what to send"`
	}
	flawless.Workflow("ship", func(ctx context.Context, o order) (string, error) {
		if err := flawless.Sleep(ctx, 24*time.Hour); err != nil {
			return "", err
		}
		return "shipped " + o.Item, nil
	}, flawless.Doc("Ships an item after a day."))
}

func ExampleDo() {
	charge := func(ctx context.Context) error {
		resp, err := flawless.Do(ctx,
			flawless.Request{Method: "POST", URL: "https://pay.example/charges", Body: []byte(`{"cents":100}`)},
			flawless.NotIdempotent(), flawless.TellInterrupted())
		var unknown *flawless.Interrupted
		switch {
		case errors.As(err, &unknown):
			return fmt.Errorf("ask the bank about %s-%d", flawless.RunID(), unknown.Call)
		case err != nil:
			return err
		case !resp.OK():
			return fmt.Errorf("refused with status %d", resp.Status)
		}
		return nil
	}
	fmt.Println(errors.Is(charge(context.Background()), flawless.ErrOutside))
	// Output: true
}

func ExampleConfirm() {
	charge := func(ctx context.Context) error {
		_, err := flawless.Post(ctx, "https://pay.example/charges", "application/json", []byte(`{"cents":100}`),
			flawless.Confirm(func(ctx context.Context, key string) (flawless.Outcome, error) {
				resp, err := flawless.Get(ctx, "https://pay.example/charges?idempotency_key="+key)
				switch {
				case err != nil:
					return flawless.CannotTell(), err // the run waits for a person, who reads the error
				case resp.Status == 404:
					return flawless.DidNotHappen(), nil // it is sent again, under the same key
				}
				return flawless.Happened(resp), nil
			}))
		return err
	}
	fmt.Println(errors.Is(charge(context.Background()), flawless.ErrOutside))
	// Output: true
}

func ExampleSpawn() {
	flawless.Workflow("resize-all", func(ctx context.Context, pictures []string) ([]string, error) {
		children := make([]*flawless.Child[string], len(pictures))
		for i, picture := range pictures {
			children[i] = flawless.Spawn[string, string](ctx, "images/resize", picture)
		}
		small, err := flawless.WaitAll(ctx, children...)
		var failed *flawless.ChildError
		if errors.As(err, &failed) {
			return nil, fmt.Errorf("run %s has not resized its picture: %w", failed.ID, err)
		}
		return small, err
	})
}

func ExampleSend() {
	flawless.Workflow("remind", func(ctx context.Context, order string) (any, error) {
		return nil, flawless.Send(ctx, order, "reminder", map[string]string{"text": "it is still in your basket"})
	})
}

func ExampleReceiveMessage() {
	type question struct{ Item string }
	flawless.Workflow("stock", func(ctx context.Context, have map[string]int) (any, error) {
		for {
			m, err := flawless.ReceiveMessage[question](ctx, "how-many") // flawless workflow send --wait RUN how-many '{"Item":"pen"}'
			if err != nil {
				return nil, err
			}
			if err := m.Reply(have[m.Value.Item]); err != nil {
				return nil, err
			}
		}
	})
}

func ExampleMessages() {
	flawless.Workflow("approve", func(ctx context.Context, _ any) (string, error) {
		select {
		case who := <-flawless.Messages[string]("approved"):
			return "approved by " + who, nil
		case <-time.After(72 * time.Hour):
			return "nobody has answered", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
}

func ExampleNewPromise() {
	type payment struct{ Cents int }
	flawless.Workflow("pay-by-link", func(ctx context.Context, mail string) (int, error) {
		paid := flawless.NewPromise[payment](ctx, "payment", flawless.Expires(24*time.Hour))
		if _, err := flawless.Post(ctx, "https://mail.example/send", "text/plain", []byte(mail+" "+paid.URL()), flawless.Idempotent()); err != nil {
			return 0, err
		}
		p, err := paid.Wait(ctx)
		var over *flawless.CallError
		if errors.As(err, &over) && over.Kind == flawless.KindExpired {
			return 0, nil
		}
		return p.Cents, err
	})
}

func ExampleState() {
	type seats struct{ Left int }
	flawless.Workflow("book-seat", func(ctx context.Context, concert string) (bool, error) {
		booked := false
		err := flawless.State[seats](concert).Update(ctx, func(s *seats) error { // no other run changes it meanwhile
			if booked = s.Left > 0; booked {
				s.Left--
			}
			return nil
		})
		return booked, err
	})
}

func ExampleFresh() {
	flawless.Workflow("publish", func(ctx context.Context, pages []string) (any, error) {
		token := flawless.Fresh(10*time.Minute, func(ctx context.Context) (string, error) {
			return flawless.PostJSON[string](ctx, "https://login.example/token", nil, flawless.Idempotent())
		})
		for _, page := range pages {
			t, err := token.Get(ctx) // another one where the run was interrupted for long
			if err != nil {
				return nil, err
			}
			req := flawless.Request{Method: "PUT", URL: "https://site.example/" + page, Header: flawless.Header{{"Authorization", "Bearer " + t}}}
			if _, err := flawless.Do(ctx, req); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

func ExampleInSaga() {
	flawless.Workflow("trip", func(ctx context.Context, to string) (any, error) {
		post := func(ctx context.Context, url string) error {
			_, err := flawless.Post(ctx, url, "text/plain", []byte(to), flawless.Idempotent())
			return err
		}
		return nil, flawless.InSaga(ctx, func(s *flawless.Saga) error {
			for _, what := range []string{"flight", "hotel"} {
				if err := s.Step("book a "+what,
					func(ctx context.Context) error { return post(ctx, "https://"+what+".example/book") },
					func(ctx context.Context) error { return post(ctx, "https://"+what+".example/cancel") }); err != nil {
					return err // what is booked is cancelled again
				}
			}
			return nil
		}, flawless.UndoRetry{Attempts: 20})
	})
}

func ExampleSetData() {
	flawless.Workflow("import", func(ctx context.Context, files []string) (any, error) {
		for i, file := range files {
			if _, err := flawless.Get(ctx, file); err != nil {
				return nil, err
			}
			if err := flawless.SetData(map[string]int{"done": i + 1, "of": len(files)}); err != nil { // flawless workflow data RUN
				return nil, err
			}
		}
		return nil, nil
	})
}

func ExampleSecret() {
	order := func(ctx context.Context) error {
		_, err := flawless.Do(ctx, flawless.Request{URL: "https://api.example.com/orders", Header: flawless.Header{
			{"Authorization", "Bearer " + flawless.Secret("SHOP_TOKEN")}, // flawless secret set SHOP_TOKEN --host api.example.com
		}})
		var refused *flawless.NotSent
		if errors.As(err, &refused) && refused.Reason == "policy" {
			return fmt.Errorf("nobody has allowed the secret for this host: %w", err)
		}
		return err
	}
	fmt.Println(errors.Is(order(context.Background()), flawless.ErrOutside))
	// Output: true
}

func ExampleSetLabel() {
	flawless.Workflow("deliver", func(_ context.Context, customer string) (string, error) {
		if err := flawless.SetLabel("customer", customer); err != nil { // flawless workflow list --label customer=4711
			return "", err
		}
		return "delivered", nil
	})
}

func ExampleRetry() {
	ctx := flawless.With(context.Background(), flawless.Timeout(5*time.Second),
		flawless.Retry{Attempts: 5, Initial: time.Second, Factor: 2, Max: time.Minute, Jitter: 0.2, Statuses: []int{429, 503}})
	_, err := flawless.Get(ctx, "https://api.example.com/stock")
	fmt.Println(errors.Is(err, flawless.ErrOutside))
	// Output: true
}

func ExampleSleep() {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(&flawless.Cancelled{By: "ann", Note: "out of stock"})
	fmt.Println(flawless.Sleep(ctx, time.Hour))
	// Output: the run was cancelled by ann: out of stock
}

func ExampleHeader() {
	h := flawless.Header{{"Accept", "text/plain"}}
	h.Add("accept", "text/html")
	fmt.Println(h.Get("ACCEPT"), len(h.Values("Accept")))
	// Output: text/plain 2
}
