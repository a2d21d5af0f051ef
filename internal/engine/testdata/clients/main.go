// Clients has workflows that call through client libraries as they are published, which try again by
// themselves after an error.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stripe/stripe-go/v82"
	"github.com/stripe/stripe-go/v82/form"

	flawless "github.com/flawless-engine/flawless/sdk/go"
	"github.com/flawless-engine/flawless/sdk/go/nethttp"
)

func main() {
	flawless.Workflow("net-http", plain)
	flawless.Workflow("retryablehttp", retryable)
	flawless.Workflow("stripe", charge)
	flawless.Workflow("own", own)
	flawless.Workflow("events", events)
}

type Task struct {
	URL        string
	Timeout    time.Duration
	Idempotent bool
}

func (t Task) client() *http.Client {
	return &http.Client{Transport: nethttp.Transport{}, Timeout: t.Timeout}
}

func (t Task) context(ctx context.Context) context.Context {
	if t.Idempotent {
		return flawless.With(ctx, flawless.Idempotent())
	}
	return ctx
}

// plain is what many programs do by hand.
func plain(ctx context.Context, in Task) (string, error) {
	var last error
	for i := range 3 {
		req, err := http.NewRequestWithContext(in.context(ctx), "POST", in.URL, strings.NewReader(`{"amount":1}`))
		if err != nil {
			return "", err
		}
		resp, err := in.client().Do(req)
		if err != nil {
			last = err
			continue
		}
		b, err := io.ReadAll(resp.Body)
		return fmt.Sprintf("try %d: %d %s", i+1, resp.StatusCode, b), err
	}
	return "", last
}

func retryable(ctx context.Context, in Task) (string, error) {
	c := retryablehttp.NewClient()
	c.HTTPClient, c.Logger = in.client(), nil
	req, err := retryablehttp.NewRequestWithContext(in.context(ctx), "POST", in.URL, []byte(`{"amount":1}`))
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, b), err
}

// charged is a charge, of which the test needs its id only.
type charged struct {
	stripe.APIResource
	ID string `json:"id"`
}

func charge(ctx context.Context, in Task) (string, error) {
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{URL: stripe.String(in.URL), HTTPClient: in.client(),
		MaxNetworkRetries: stripe.Int64(3), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull}, EnableTelemetry: stripe.Bool(false)})
	body := &form.Values{}
	body.Add("amount", "100")
	var out charged
	err := backend.CallRaw("POST", "/v1/charges", "sk_test_1", []byte(body.Encode()), &stripe.Params{Context: in.context(ctx)}, &out)
	return out.ID, err
}
