// Command shop has the workflows of a shop, which the demo of the console runs against services that break in many ways.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Order is the input of the workflow order.
type Order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Cents    int    `json:"cents" doc:"price of the whole order"`
}

// Progress is the data of an order: how far it is.
type Progress struct {
	Step   string   `json:"step"`
	Done   []string `json:"done,omitempty"`
	Charge string   `json:"charge,omitempty"`
	Parcel string   `json:"parcel,omitempty"`
}

func main() {
	flawless.Workflow("order", order, flawless.Doc("Reserves stock, charges the card, ships, and writes to the customer."))
	flawless.Workflow("parcel", parcel, flawless.Doc("Ships an order. A child of order."))
	flawless.Workflow("trip", trip, flawless.Doc("Books a flight and a hotel; takes back what was booked if one of them fails."))
	flawless.Workflow("refund", refund, flawless.Doc("Pays an order back once somebody has approved it."))
	flawless.Workflow("report", report, flawless.Doc("Reads all pages of the CRM, which allows few requests, and counts."))
	flawless.Workflow("inventory", inventory, flawless.Doc("Counts an item, while nobody else may."))
	flawless.Workflow("subscription", subscription, flawless.Doc("Charges a card every month, until a message cancels it."))
	flawless.Workflow("thumbnails", thumbnails, flawless.Doc("Computes for some seconds."))
	flawless.Workflow("import", importFile, flawless.Doc("Reads a file, which may be broken."))
}

func order(ctx context.Context, o Order) (p Progress, err error) {
	if o.Cents <= 0 {
		return p, fmt.Errorf("order %s costs %d cents", o.ID, o.Cents)
	}
	if err := flawless.SetLabel("customer", o.Customer); err != nil {
		return p, err
	}
	step := func(name string) {
		if p.Step != "" {
			p.Done = append(p.Done, p.Step)
		}
		p.Step = name
		if err := flawless.SetData(p); err != nil {
			slog.Warn("progress is not published", "error", err)
		}
	}
	step("reserve")
	if _, err := flawless.Do(ctx, flawless.Request{Method: "PUT", URL: "http://stock.example/reservations/" + o.ID, Body: []byte(o.Item)}); err != nil {
		return p, fmt.Errorf("reserve: %w", err)
	}
	step("charge")
	key := flawless.Request{Method: "POST", URL: "http://pay.example/charges", Body: encode(o),
		Header: flawless.Header{{"Authorization", "Bearer " + flawless.Secret("pay-key")}, {"Content-Type", "application/json"}}}
	paid, err := flawless.Do(ctx, key, flawless.NotIdempotent())
	if err == nil && !paid.OK() {
		err = &flawless.StatusError{Method: "POST", URL: key.URL, Status: paid.Status, Body: paid.Body}
	}
	if err != nil {
		return p, fmt.Errorf("charge: %w", err)
	}
	p.Charge = string(paid.Body)
	slog.Info("charged", "cents", o.Cents, "charge", p.Charge)
	step("ship")
	if p.Parcel, err = flawless.Spawn[Order, string](ctx, "parcel", o).Wait(ctx); err != nil {
		return p, fmt.Errorf("ship: %w", err)
	}
	step("write")
	if err := write(ctx, o.Customer, "Your order is on its way: "+p.Parcel); err != nil {
		return p, err
	}
	step("done")
	return p, nil
}

func parcel(ctx context.Context, o Order) (string, error) {
	if err := flawless.Sleep(ctx, 1500*time.Millisecond); err != nil { // packing
		return "", err
	}
	resp, err := flawless.Do(ctx, flawless.Request{Method: "PUT", URL: "http://carrier.example/parcels/" + o.ID, Body: []byte(o.Customer)})
	if err != nil {
		return "", err
	}
	return string(resp.Body), nil
}

// Trip is the input of the workflow trip.
type Trip struct {
	ID string `json:"id"`
	To string `json:"to"`
}

func trip(ctx context.Context, t Trip) (map[string]string, error) {
	booked := map[string]string{}
	err := flawless.InSaga(ctx, func(s *flawless.Saga) error {
		for _, host := range []string{"flights.example", "hotels.example"} {
			url := "http://" + host + "/bookings/" + t.ID
			if err := s.Step(host, func(ctx context.Context) error {
				resp, err := ok(ctx, "PUT", url, t)
				if err == nil {
					booked[host] = string(resp.Body)
				}
				return err
			}, func(ctx context.Context) error {
				_, err := ok(ctx, "DELETE", url, nil)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	}, flawless.UndoRetry{Attempts: 2, Initial: 100 * time.Millisecond})
	return booked, err
}

// Refund is the input of the workflow refund.
type Refund struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

func refund(ctx context.Context, r Refund) (string, error) {
	approval := flawless.NewPromise[bool](ctx, "approval of the refund of "+r.Order, flawless.Expires(7*24*time.Hour))
	if err := flawless.SetData(map[string]any{"order": r.Order, "cents": r.Cents, "approve_at": approval.URL()}); err != nil {
		return "", err
	}
	yes, err := approval.Wait(ctx)
	if err != nil {
		return "", err
	}
	if !yes {
		return "not approved", nil
	}
	resp, err := ok(ctx, "PUT", "http://pay.example/refunds/"+r.Order, r)
	if err != nil {
		return "", err
	}
	return string(resp.Body), nil
}

func report(ctx context.Context, pages int) (int, error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for n := range pages {
		all.Go(func() {
			resp, err := flawless.Get(ctx, fmt.Sprintf("http://crm.example/customers?page=%d", n+1))
			mu.Lock()
			defer mu.Unlock()
			if err == nil && resp.OK() {
				total += len(resp.Body)
			}
		})
	}
	all.Wait()
	return total, flawless.SetData(map[string]int{"bytes": total})
}

// Count is the input of the workflow inventory.
type Count struct {
	Item    string `json:"item"`
	Seconds int    `json:"seconds" doc:"how long it takes"`
}

func inventory(ctx context.Context, c Count) (n int, err error) {
	err = flawless.State[int]("stock of "+c.Item).Update(ctx, func(v *int) error {
		*v++
		n = *v
		return flawless.Sleep(ctx, time.Duration(c.Seconds)*time.Second)
	})
	return n, err
}

func subscription(ctx context.Context, o Order) (int, error) {
	if err := flawless.SetLabel("customer", o.Customer); err != nil {
		return 0, err
	}
	ends := flawless.Messages[string]("cancel")
	for month := 1; ; month++ {
		if _, err := ok(ctx, "PUT", fmt.Sprintf("http://pay.example/months/%s-%d", o.ID, month), o); err != nil {
			return month, err
		}
		if err := flawless.SetData(map[string]int{"months": month, "cents": month * o.Cents}); err != nil {
			return month, err
		}
		select {
		case why := <-ends:
			slog.Info("cancelled by the customer", "why", why)
			return month, nil
		case <-time.After(30 * 24 * time.Hour):
		case <-ctx.Done():
			return month, context.Cause(ctx)
		}
	}
}

func thumbnails(_ context.Context, rounds int) (string, error) {
	sum := sha256.Sum256(nil)
	for range rounds {
		sum = sha256.Sum256(sum[:])
	}
	return fmt.Sprintf("%x", sum[:8]), nil
}

func importFile(ctx context.Context, name string) (int, error) {
	resp, err := flawless.Get(ctx, "http://files.example/"+name)
	if err != nil {
		return 0, err
	}
	var rows []struct{ ID, Name string }
	if err := json.Unmarshal(resp.Body, &rows); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if rows[0].ID == "" { // panics for a file without rows
		return 0, errors.New(name + ": the first row has no id")
	}
	return len(rows), nil
}

// ok sends a request that may be repeated, and takes every answer but 2xx for an error.
func ok(ctx context.Context, method, url string, in any) (*flawless.Response, error) {
	resp, err := flawless.Do(ctx, flawless.Request{Method: method, URL: url, Body: encode(in)}, flawless.Retry{Attempts: 3, Initial: 300 * time.Millisecond, Factor: 2, Statuses: []int{503}})
	if err == nil && !resp.OK() {
		err = &flawless.StatusError{Method: method, URL: url, Status: resp.Status, Body: resp.Body}
	}
	return resp, err
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // all of them are plain
	}
	return b
}
