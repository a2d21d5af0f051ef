// Command travel books a flight, a hotel and a car with three services, all of them or none.
package main

import (
	"context"
	"fmt"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Trip is the input.
type Trip struct {
	ID       string `json:"id"`
	To       string `json:"to"`
	Services string `json:"services" doc:"base URL of the services: /flights, /hotels and /cars lie under it"`
	Approve  bool   `json:"approve,omitempty" doc:"wait until somebody has approved the trip"`
}

// Booked is the output: the ids of the bookings, by service.
type Booked map[string]string

func main() {
	flawless.Workflow("travel", travel, flawless.Doc("Books a flight, a hotel and a car; takes back what was booked if one of them fails."))
}

func travel(ctx context.Context, t Trip) (Booked, error) {
	if t.Approve {
		if err := approved(ctx, t); err != nil {
			return nil, err
		}
	}
	booked := Booked{}
	err := flawless.InSaga(ctx, func(s *flawless.Saga) error {
		for _, service := range []string{"flights", "hotels", "cars"} {
			url := t.Services + "/" + service + "/" + t.ID
			err := s.Step(service, func(ctx context.Context) error {
				id, err := book(ctx, url, t)
				booked[service] = id
				return err
			}, func(ctx context.Context) error {
				return cancel(ctx, url)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}, flawless.UndoRetry{Attempts: 5, Initial: 100 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	return booked, nil
}

// approved waits for a decision, for at most a week.
func approved(ctx context.Context, t Trip) error {
	p := flawless.NewPromise[bool](ctx, "approval of the trip to "+t.To, flawless.Expires(7*24*time.Hour))
	if err := flawless.SetData(map[string]string{"approve_at": p.URL()}); err != nil {
		return err
	}
	yes, err := p.Wait(ctx)
	if err == nil && !yes {
		err = fmt.Errorf("the trip to %s was not approved", t.To)
	}
	return err
}

// again retries a request three times. PUT and DELETE are idempotent, so also requests with an unknown outcome are
// repeated.
func again() flawless.Option { return flawless.Retry{Attempts: 3, Initial: 100 * time.Millisecond} }

// book books with one service. The URL contains the id of the trip, so booking twice is booking once.
func book(ctx context.Context, url string, t Trip) (string, error) {
	resp, err := flawless.Do(ctx, flawless.Request{Method: "PUT", URL: url, Body: []byte(t.To)}, again())
	switch {
	case err != nil:
		return "", err
	case !resp.OK():
		return "", &flawless.StatusError{Method: "PUT", URL: url, Status: resp.Status, Body: resp.Body}
	}
	return string(resp.Body), nil
}

// cancel cancels a booking. A missing booking counts as cancelled.
func cancel(ctx context.Context, url string) error {
	resp, err := flawless.Do(ctx, flawless.Request{Method: "DELETE", URL: url}, again())
	if err == nil && !resp.OK() && resp.Status != 404 {
		err = &flawless.StatusError{Method: "DELETE", URL: url, Status: resp.Status, Body: resp.Body}
	}
	return err
}
