package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// order is the input of the workflow order.
type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Cents    int    `json:"cents"`
}

var (
	customers = []string{"ann@example.com", "bob@example.com", "chloe@example.com", "dieter@example.com", "eun-ji@example.com", "farid@example.com"}
	items     = []string{"book", "lamp", "chair", "kettle", "bicycle"}
	regions   = []string{"eu", "us", "apac"}
)

// newOrder returns order number n. Some break, as the things of outside do.
func newOrder(n int) order {
	o := order{fmt.Sprintf("order-%d", 4700+n), customers[n%len(customers)], items[n%len(items)], 500 + rand.IntN(20000)}
	switch {
	case n%37 == 11:
		o.Item = doubtful
	case n%53 == 17:
		o.Customer = bouncing
	case n%19 == 7:
		o.Item = declined
	case n%71 == 23:
		o.ID, o.Item = o.ID+"-"+stranded, stranded
	case n%97 == 31:
		o.Cents = 0
	}
	return o
}

func (d *demo) place(ctx context.Context, n int) error {
	o := newOrder(n)
	return d.start(ctx, client.Start{Workflow: "order", ID: o.ID, Labels: map[string]string{"region": regions[n%len(regions)]}}, o)
}

// fill brings the server into a state with some of everything.
func (d *demo) fill(ctx context.Context, first, next string) error {
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return d.modules(ctx, first) },
		d.settings,
		d.others,
		d.allOrders,
		d.people,
		d.fork,
		func(ctx context.Context) error { return d.add(ctx, "shop", next) },
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) add(ctx context.Context, name, file string) error {
	bin, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, _, err = d.client.AddModule(ctx, name, bin, nil)
	return err
}

func (d *demo) modules(ctx context.Context, first string) error {
	if err := d.add(ctx, "shop", first); err != nil {
		return err
	}
	if err := d.add(ctx, "warehouse", first); err != nil { // of which few run at once
		return err
	}
	two := 2
	_, err := d.client.ChangeSettings(ctx, "warehouse", client.SettingsChange{Concurrency: &two})
	return err
}

// settings sets what people set on a server.
func (d *demo) settings(ctx context.Context) error {
	for name, host := range map[string]string{"pay-key": "pay.example", "crm-password": "crm.example"} {
		if _, err := d.client.SetSecret(ctx, name, []string{host}, "demo-value-of-"+name); err != nil {
			return err
		}
	}
	if _, err := d.client.SetLimit(ctx, "crm.example", "1/2s", 3); err != nil {
		return err
	}
	if _, err := d.client.SetLimit(ctx, "mail.example", "50/s", 50); err != nil {
		return err
	}
	for _, v := range []flawless.View{
		{Name: "orders of Bob", Page: "runs", Query: "workflow=order&label=customer%3Dbob%40example.com"},
		{Name: "failed today", Page: "runs", Query: "status=failed"},
	} {
		if _, err := d.client.SetView(ctx, v); err != nil {
			return err
		}
	}
	for _, s := range []flawless.Schedule{
		{Name: "prices", Cron: "* * * * *", Module: "shop", Workflow: "import", Input: json.RawMessage(`"prices.json"`)},
		{Name: "nightly-report", Cron: "30 2 * * *", Zone: "Europe/Berlin", Module: "shop", Workflow: "report", Input: json.RawMessage(`20`)},
		{Name: "stocktaking", Cron: "0 6 1 * *", Module: "warehouse", Workflow: "inventory", Input: json.RawMessage(`{"item":"lamp","seconds":60}`), Paused: true, Note: "until the new scanners are there"},
	} {
		if _, err := d.client.SetSchedule(ctx, s, true); err != nil {
			return err
		}
	}
	return nil
}

// others starts some runs of each workflow but order.
func (d *demo) others(ctx context.Context) error {
	type run struct {
		client.Start
		input any
	}
	var all []run
	add := func(workflow, id string, input any) {
		all = append(all, run{client.Start{Workflow: workflow, ID: id}, input})
	}
	for i, to := range []string{"Lisbon", "Oslo", "Kyoto", nowhere, nowhere, sunken} {
		id := fmt.Sprintf("trip-%d-%s", i+1, to)
		add("trip", id, map[string]string{"id": id, "to": to})
	}
	for i, file := range []string{"prices.json", "prices.json", "empty.json", "anonymous.json", "anonymous.json", "maintenance.json", "maintenance.json", "maintenance.json"} {
		add("import", fmt.Sprintf("import-%d", i+1), file)
	}
	for i := range 6 {
		add("refund", fmt.Sprintf("refund-%d", i+1), map[string]any{"order": fmt.Sprintf("order-%d", 4100+i), "cents": 1900 + 700*i})
	}
	for i := range 8 {
		id := fmt.Sprintf("subscription-%d", i+1)
		add("subscription", id, order{id, customers[i%len(customers)], "magazine", 790})
	}
	add("report", "report-now", 40)
	add("thumbnails", "thumbnails-1", 200_000)
	for i := range 4 { // one counts, the others wait for it
		add("inventory", fmt.Sprintf("inventory-lamp-%d", i+1), map[string]any{"item": "lamp", "seconds": 3600})
	}
	for i, item := range items { // two run, the others are pending
		all = append(all, run{client.Start{Module: "warehouse", Workflow: "inventory", ID: "warehouse-" + item, Priority: i % 2}, map[string]any{"item": "crates of " + item, "seconds": 3600}})
	}
	for _, r := range all {
		if err := d.start(ctx, r.Start, r.input); err != nil {
			return fmt.Errorf("starting %s: %w", r.ID, err)
		}
	}
	return nil
}

// allOrders places the orders, some at a time.
func (d *demo) allOrders(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for n := range *orders {
		group.Go(func() error { return d.place(ctx, n) })
		if n%10 == 9 {
			if err := pause(ctx, 500*time.Millisecond); err != nil {
				break
			}
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	last := newOrder(*orders - 1).ID
	_, err := d.until(ctx, last, flawless.Completed, flawless.Failed, flawless.Unresolved, flawless.Waiting)
	return err
}

// people does what people do to runs.
func (d *demo) people(ctx context.Context) error {
	if _, err := d.until(ctx, "subscription-8", flawless.Waiting); err != nil {
		return err
	}
	if _, err := d.client.Pause(ctx, "subscription-1", flawless.Pause{Who: "ann", Note: "the customer asks for a break"}); err != nil {
		return err
	}
	if _, err := d.client.Cancel(ctx, "subscription-2", flawless.Cancel{Who: "bob", Note: "moved to another plan"}); err != nil {
		return err
	}
	if _, err := d.client.Terminate(ctx, "inventory-lamp-4", flawless.Cancel{Who: "bob", Note: "the lamps are counted twice"}); err != nil {
		return err
	}
	for _, m := range []flawless.Message{{Type: "cancel", Body: []byte(`"too expensive"`), Who: "ann"}, {Type: "remark", Body: []byte(`"call back on Monday"`), Who: "ann"}} {
		run := map[string]string{"cancel": "subscription-3", "remark": "subscription-4"}[m.Type]
		if _, err := d.client.Send(ctx, run, m); err != nil {
			return err
		}
	}
	for run, settle := range map[string]func(token string) error{
		"refund-1": func(token string) error { _, err := d.client.Settle(ctx, token, json.RawMessage("true")); return err },
		"refund-2": func(token string) error { _, err := d.client.Settle(ctx, token, json.RawMessage("false")); return err },
		"refund-3": func(token string) error {
			_, err := d.client.Reject(ctx, token, "the order does not exist", "bob")
			return err
		},
	} {
		if _, err := d.until(ctx, run, flawless.Waiting); err != nil {
			return err
		}
		open, err := d.client.Promises(ctx, run)
		if err != nil {
			return err
		}
		for _, p := range open {
			if err := settle(p.Token); err != nil {
				return err
			}
		}
	}
	if _, err := d.until(ctx, "import-6", flawless.Failed); err != nil {
		return err
	}
	if _, err := d.client.Restart(ctx, "import-6", client.Restart{ID: "import-6-again"}); err != nil {
		return err
	}
	return d.decide(ctx)
}

// decide decides one of the calls whose outcome is unknown; the others are for the inbox.
func (d *demo) decide(ctx context.Context) error {
	for n := range *orders {
		o := newOrder(n)
		if o.Item != doubtful {
			continue
		}
		r, err := d.until(ctx, o.ID, flawless.Unresolved, flawless.Waiting)
		if err != nil || len(r.Unresolved) == 0 {
			return err
		}
		_, err = d.client.Resolve(ctx, o.ID, flawless.Decision{Call: r.Unresolved[0].Call, Resolution: flawless.Respond, Status: 201,
			Body: []byte(`{"id":"charge-771204"}`), Who: "ann", Note: "seen at the payment service"})
		return err
	}
	return nil
}

// fork lets an order whose card was declined go on as if it had been charged.
func (d *demo) fork(ctx context.Context) error {
	for n := range *orders {
		o := newOrder(n)
		if o.Item != declined {
			continue
		}
		if _, err := d.until(ctx, o.ID, flawless.Failed); err != nil {
			return err
		}
		turn, call := 0, 0
		for rec, err := range d.client.WholeLog(ctx, o.ID) {
			if err != nil {
				return err
			}
			for _, e := range rec.Entries {
				if e.Turn == nil {
					continue
				}
				for _, c := range e.Turn.Calls {
					if c.Kind == "http" { // the charge is the last one
						turn, call = e.Turn.N, c.N
					}
				}
			}
		}
		_, err := d.client.Fork(ctx, o.ID, client.Fork{Turn: turn, ID: o.ID + "-what-if", Who: "ann",
			Answers: []client.GivenAnswer{{Call: call, Status: 201, Body: []byte(`{"id":"charge-000000"}`)}}})
		return err
	}
	return nil
}

// live goes on with a small load.
func (d *demo) live(ctx context.Context) error {
	if *pace <= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	for n := *orders; ; n++ {
		if err := pause(ctx, *pace); err != nil {
			return err
		}
		if n%37 == 11 && n%5 != 0 || n%71 == 23 { // the inbox is full enough
			continue
		}
		if err := d.place(ctx, n); err != nil {
			return err
		}
		if n%30 == 0 {
			id := fmt.Sprintf("thumbnails-%d", n)
			if err := d.start(ctx, client.Start{Workflow: "thumbnails", ID: id}, 500_000); err != nil {
				return err
			}
		}
	}
}
