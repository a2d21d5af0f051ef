// Command checkout places an order with three services and undoes everything if one fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// packing is how long the warehouse needs.
const packing = 2 * time.Second

// Order is the input.
type Order struct {
	ID       string `json:"id"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
	Card     string `json:"card" doc:"token of the card to charge"`
	Cents    int    `json:"cents" doc:"price of the whole order"`
	Services string `json:"services" doc:"base URL of the services: /stock, /charges and /shipments lie under it"`
}

// Receipt is the output.
type Receipt struct {
	Reservation string `json:"reservation"`
	Charge      string `json:"charge"`
	Shipment    string `json:"shipment"`
}

// Progress is the run's data: what has been done so far.
type Progress struct {
	Step    string  `json:"step"`
	Receipt Receipt `json:"receipt"`
}

func main() {
	flawless.Workflow("checkout", checkout, flawless.Doc("Reserves stock, charges the card and ships; undoes what was done if a step fails."))
}

func checkout(ctx context.Context, o Order) (r Receipt, err error) {
	var done undo
	defer func() {
		if err != nil {
			err = errors.Join(err, done.all(ctx))
			report("undone", Receipt{})
		}
	}()

	report("reserving", r)
	if r.Reservation, err = create(ctx, o.Services+"/stock", o); err != nil {
		return r, fmt.Errorf("reserve: %w", err)
	}
	done.push("the reservation", o.Services+"/stock/"+r.Reservation)

	report("charging", r)
	if r.Charge, err = charge(ctx, o, &done); err != nil {
		return r, fmt.Errorf("charge: %w", err)
	}

	report("packing", r)
	if err = flawless.Sleep(ctx, packing); err != nil { // ends early when the order is cancelled
		return r, err
	}

	report("shipping", r)
	if r.Shipment, err = create(ctx, o.Services+"/shipments", o); err != nil {
		return r, fmt.Errorf("ship: %w", err)
	}
	report("shipped", r)
	return r, nil
}

// charge charges the card, once. If the outcome is unknown, the run waits for a person.
func charge(ctx context.Context, o Order, done *undo) (string, error) {
	id, err := create(ctx, o.Services+"/charges", o, flawless.NotIdempotent(), flawless.Timeout(30*time.Second))
	if err != nil {
		return "", err
	}
	done.push("the charge", o.Services+"/charges/"+id)
	return id, nil
}

// create posts the order and returns the id of the created resource.
func create(ctx context.Context, url string, o Order, opts ...flawless.Option) (string, error) {
	made, err := flawless.PostJSON[struct {
		ID string `json:"id"`
	}](ctx, url, o, opts...)
	if err == nil && made.ID == "" {
		err = fmt.Errorf("POST %s: the response has no id", url)
	}
	return made.ID, err
}

func report(step string, r Receipt) {
	if err := flawless.SetData(Progress{Step: step, Receipt: r}); err != nil {
		slog.Warn("progress is not published", "error", err)
	}
}
