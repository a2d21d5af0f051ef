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
