// Command cluster shows the purpose of several nodes: three of them run checkouts on one PostgreSQL and are killed for a
// minute, and every card is charged once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/demo/internal/shop"
	"github.com/flawless-engine/flawless/internal/nodes"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

var (
	length   = flag.Duration("for", time.Minute, "how long nodes are killed")
	rate     = flag.Int("orders", 20, "orders per second")
	lease    = flag.Duration("lease", 5*time.Second, "how long a node may be silent before others take over")
	database = flag.String("store", "", "address of a database; without it, the demo starts a PostgreSQL server")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	d := &demo{shop: shop.New()}
	err := d.run(ctx)
	d.clean()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo-cluster:", err)
		os.Exit(1)
	}
}

type demo struct {
	dir, binary, store string
	nodes              []*member
	shop               *shop.Shop
	web                *httptest.Server
	postgres           *pgtest.Server
	kills              int
}

// member is a node that is killed and started again by one goroutine at a time.
type member struct {
	*nodes.Node
	busy atomic.Bool
}

func say(format string, args ...any) { fmt.Printf("\n▶ "+format+"\n", args...) }

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "flawless-cluster"); err != nil {
		return err
	}
	if d.store = *database; d.store == "" {
		say("starting a PostgreSQL server of its own")
		if d.postgres, err = pgtest.Open(nil); err != nil {
			return err
		}
		d.store = d.postgres.URL(pgtest.User)
		fmt.Println("  it is at", d.store)
	}
	say("building the command and the workflow of examples/checkout")
	d.binary = filepath.Join(d.dir, "flawless")
	if err := d.command(ctx, "go", "build", "-o", d.binary, "./cmd/flawless"); err != nil {
		return err
	}
	module := filepath.Join(d.dir, "checkout.wasm")
	if err := d.command(ctx, d.binary, "build", "examples/checkout", "-o", module); err != nil {
		return err
	}
	d.shop.Slow = 200 * time.Millisecond // so that some charges are under way when a node is killed
	d.web = httptest.NewServer(d.shop)
	say("stock, payment and shipping answer at %s and count what they are asked for", d.web.URL)
	say("starting three nodes on the database")
	for _, name := range []string{"a", "b", "c"} {
		n, err := nodes.New(nodes.Options{Binary: d.binary, Dir: d.dir, Name: name, Store: d.store, Lease: *lease})
		if err != nil {
			return err
		}
		d.nodes = append(d.nodes, &member{Node: n})
		if err := n.Start(ctx); err != nil {
			return err
		}
		fmt.Printf("  node %s is up, process %d\n", name, n.PID())
	}
	if err := d.command(ctx, d.binary, d.nodes[0].Flags("module", "add", "checkout", module)...); err != nil {
		return err
	}
	if err := d.command(ctx, d.binary, d.nodes[1].Flags("node", "list")...); err != nil {
		return err
	}
	say("%d orders a second, each at a node drawn at random; every few seconds a node is killed (kill -9), for %v", *rate, *length)
	orders, err := d.storm(ctx)
	if err != nil {
		return err
	}
	if err := d.command(ctx, d.binary, d.nodes[2].Flags("node", "list")...); err != nil {
		return err
	}
	return d.settle(ctx, orders)
}

// storm places orders and kills nodes, and returns the orders that were accepted.
func (d *demo) storm(ctx context.Context) ([]string, error) {
	ctx, over := context.WithTimeout(ctx, *length)
	defer over()
	var tasks sync.WaitGroup
	var mu sync.Mutex
	var accepted []string
	var refused atomic.Int64
	var worst atomic.Int64
	placing, placed := context.WithCancel(context.WithoutCancel(ctx)) // an order that was begun is placed
	defer placed()
	tick := time.NewTicker(time.Second / time.Duration(*rate))
	defer tick.Stop()
	kill := time.NewTicker(max(*length/10, *lease+3*time.Second))
	defer kill.Stop()
	report := time.NewTicker(5 * time.Second)
	defer report.Stop()
	killed := make(chan error, 1)
	for n := 1; ; {
		select {
		case <-ctx.Done():
			tasks.Wait()
			fmt.Printf("  %d orders were accepted, %d gave up; %d kills; the slowest order was accepted after %v\n", len(accepted), refused.Load(), d.kills, time.Duration(worst.Load()).Round(time.Millisecond))
			select {
			case err := <-killed:
				return accepted, err
			default:
				return accepted, nil
			}
		case err := <-killed:
			return nil, err
		case <-tick.C:
			id := fmt.Sprintf("order-%d", n)
			n++
			tasks.Go(func() {
				began := time.Now()
				if err := d.order(placing, id); err != nil {
					refused.Add(1)
					fmt.Printf("  %s was not accepted: %v\n", id, err)
					return
				}
				took := int64(time.Since(began))
				for old := worst.Load(); took > old && !worst.CompareAndSwap(old, took); old = worst.Load() {
				}
				mu.Lock()
				accepted = append(accepted, id)
				mu.Unlock()
			})
		case <-kill.C:
			victim := d.nodes[rand.IntN(len(d.nodes))]
			d.kills++
			tasks.Go(func() {
				if err := d.kill(placing, victim); err != nil {
					select {
					case killed <- err:
					default:
					}
				}
			})
		case <-report.C:
			mu.Lock()
			fmt.Printf("  %d orders accepted, %d kills\n", len(accepted), d.kills)
			mu.Unlock()
		}
	}
}

// order places an order at a node drawn at random. If that does not answer, it asks another one: the id starts one run only.
func (d *demo) order(ctx context.Context, id string) error {
	in, err := json.Marshal(map[string]any{"id": id, "item": "book", "quantity": 1, "card": "tok_4711", "cents": 1999, "services": d.web.URL})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		n := d.nodes[rand.IntN(len(d.nodes))]
		_, _, err = n.Client().Start(ctx, client.Start{Module: "checkout", Workflow: "checkout", Input: in, ID: id}, false)
		switch {
		case err == nil:
			return nil
		case nodes.Away(err):
		default:
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// kill kills a node, and starts it again a little later.
func (d *demo) kill(ctx context.Context, n *member) error {
	if !n.busy.CompareAndSwap(false, true) {
		return nil
	}
	defer n.busy.Store(false)
	fmt.Printf("  kill -9 %s (process %d)\n", n.Name, n.PID())
	n.Kill()
	select {
	case <-time.After(*lease / 2):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	fmt.Printf("  node %s is up again, process %d\n", n.Name, n.PID())
	return nil
}

// settle waits until all orders have ended, decides those whose charge has an unknown outcome as a person would, and counts
// the charges.
func (d *demo) settle(ctx context.Context, orders []string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	say("waiting for all orders to end; where a node was killed during a call, we look it up at the service and decide")
	decided := map[string]int{}
	open := slices.Clone(orders)
	for len(open) > 0 {
		var still []string
		for _, id := range open {
			r, err := d.ask(ctx, func(c *client.Client) (flawless.Run, error) { return c.Run(ctx, id, false) })
			switch {
			case err != nil:
				return fmt.Errorf("asking for %s: %w", id, err)
			case r.Status == flawless.Completed:
				continue
			case r.Status.Ended():
				return fmt.Errorf("%s is %s: %+v", id, r.Status, r.Failure)
			case r.Status == flawless.Unresolved:
				for _, u := range r.Unresolved {
					how, err := d.decide(ctx, id, u)
					if err != nil {
						return fmt.Errorf("deciding call %d of %s: %w", u.Call, id, err)
					}
					decided[how]++
				}
			}
			still = append(still, id)
		}
		open = still
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d orders have not ended, such as %s: %w", len(open), open[0], ctx.Err())
		}
	}
	never, twice := 0, 0
	for _, id := range orders {
		for _, path := range []string{"/stock", "/shipments"} {
			if n := d.shop.Count(path, id); n != 1 {
				return fmt.Errorf("%s: there were %d requests for %s", id, n, path)
			}
		}
		switch d.shop.Count("/charges", id) {
		case 1:
		case 0:
			never++
		default:
			twice++
			fmt.Printf("  %s was charged %d times\n", id, d.shop.Count("/charges", id))
		}
	}
	say("%d orders completed on three nodes that were killed %d times", len(orders), d.kills)
	for how, n := range decided {
		fmt.Printf("  %d calls had an unknown outcome, and %s\n", n, how)
	}
	fmt.Printf("  cards charged once: %d, twice: %d, never: %d\n", len(orders)-never-twice, twice, never)
	if never+twice > 0 {
		return errors.New("that is not what it promises")
	}
	return nil
}

// decide decides a call with an unknown outcome: with the answer if it took effect, else by trying it again.
func (d *demo) decide(ctx context.Context, id string, u flawless.Doubt) (how string, err error) {
	at, err := url.Parse(strings.TrimPrefix(u.Request, "POST "))
	if err != nil || !strings.HasPrefix(u.Request, "POST ") {
		return "", fmt.Errorf("this is no request to the shop: %q", u.Request)
	}
	v := flawless.Decision{Call: u.Call, Resolution: flawless.Retry, Confirm: true, Note: "not seen at the service"}
	how = "had not taken effect: tried again"
	if charge := d.shop.Created(at.Path, id); charge != "" {
		v = flawless.Decision{Call: u.Call, Resolution: flawless.Respond, Status: 201, Body: []byte(`{"id":"` + charge + `"}`), Note: "seen at the service"}
		how = "had taken effect: answered with what the service knows"
	}
	_, err = d.ask(ctx, func(c *client.Client) (flawless.Run, error) { return c.Resolve(ctx, id, v) })
	if errors.Is(err, flawless.Conflict) { // decided by an earlier request whose answer was lost
		err = nil
	}
	return how, err
}

// ask asks one node after another until one answers.
func (d *demo) ask(ctx context.Context, what func(c *client.Client) (flawless.Run, error)) (flawless.Run, error) {
	for i := 0; ; i++ {
		r, err := what(d.nodes[i%len(d.nodes)].Client())
		switch {
		case nodes.Away(err):
		default:
			return r, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return r, err
		}
	}
}

// command prints and runs a command.
func (d *demo) command(ctx context.Context, name string, args ...string) error {
	fmt.Println("  $", filepath.Base(name), strings.Join(args, " "))
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		fmt.Print("    ", line)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}

func (d *demo) clean() {
	for _, n := range d.nodes {
		n.Kill()
	}
	if d.web != nil {
		d.web.Close()
	}
	if d.postgres != nil {
		d.postgres.Close()
	}
	if d.dir != "" {
		_ = os.RemoveAll(d.dir)
	}
}
