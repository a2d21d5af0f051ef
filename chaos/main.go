//go:build unix

// Command chaos attacks a cluster and checks what must hold. Three nodes run every kind of call on one PostgreSQL, while they
// are killed, stopped for longer than their lease, cut off from the database, and restarted in order, and while the database
// crashes. Afterwards:
//
//   - every run that was accepted has ended, or waits for a person with a call whose outcome is unknown
//   - no call that is not idempotent has reached the outside twice, unless a person had it repeated
//   - the shared state has grown by one for each run, and every message has arrived once, and in order
//   - what clients were answered that fought for the same run id, promise, decision and state fits some order of their requests
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/nodes"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

var (
	length = flag.Duration("for", 2*time.Minute, "how long the cluster is attacked")
	rate   = flag.Int("rate", 10, "runs started per second")
	lease  = flag.Duration("lease", 4*time.Second, "how long a node may be silent before others take over")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is drawn; the nodes still differ from run to run")
	pooled = flag.Bool("pooler", false, "put PgBouncer in transaction mode before the database")
	spaces = flag.Bool("namespaces", false, "run each node in a network namespace, and drop packets in one or both directions; needs root")
	only   = flag.String("attacks", "", "comma-separated names of the attacks to use; without it, all")
	keep   = flag.String("keep", "", "directory for the logs of the nodes, if the check fails")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c := &chaos{draw: rand.New(rand.NewPCG(*seed, 1))}
	c.outside = newOutside(func() time.Duration { return time.Duration(c.n(1, 300)) * time.Millisecond })
	err := c.run(ctx)
	if err != nil && *keep != "" {
		c.keepLogs(*keep)
	}
	c.close()
	if err != nil {
		fmt.Fprintf(os.Stderr, "chaos: seed %d: %v\n", *seed, err)
		os.Exit(1)
	}
}

// chaos is one attack on one cluster.
type chaos struct {
	dir      string
	postgres *pgtest.Server
	pooler   *pgtest.Pooler // nil unless there is one
	network  *network       // nil unless nodes have namespaces
	database int            // port of the database or the pooler
	outside  *outside
	web      *httptest.Server
	members  []*member
	ledgers  []string
	rivals   *rivals

	mu       sync.Mutex // guards the fields below
	draw     *rand.Rand
	accepted []string
	attacks  map[string]int // how often, by name
	worst    time.Duration  // until a start was accepted
}

// member is a node with its wire to the database, or on a machine of its own. It suffers one attack at a time.
type member struct {
	*nodes.Node
	wire    *wire
	machine *machine
	busy    atomic.Bool
}

// n draws a number from from to to.
func (c *chaos) n(from, to int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return from + c.draw.IntN(to-from+1)
}

func (c *chaos) run(ctx context.Context) (err error) {
	if err := c.begin(ctx); err != nil {
		return err
	}
	fmt.Printf("attacking three nodes for %v, seed %d\n", *length, *seed)
	if err := c.storm(ctx); err != nil {
		return err
	}
	return c.check(ctx)
}

// begin starts everything.
func (c *chaos) begin(ctx context.Context) (err error) {
	c.attacks = map[string]int{}
	if c.dir, err = os.MkdirTemp("", "flawless-chaos"); err != nil {
		return err
	}
	if err := c.beginDatabase(ctx); err != nil {
		return err
	}
	binary, module := filepath.Join(c.dir, "flawless"), filepath.Join(c.dir, "guest.wasm")
	for _, args := range [][]string{{"go", "build", "-o", binary, "./cmd/flawless"}, {binary, "build", "chaos/guest", "-o", module}} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	for i, name := range []string{"a", "b", "c"} {
		m, err := c.member(ctx, i, nodes.Options{Binary: binary, Dir: c.dir, Name: name, Lease: *lease})
		if err != nil {
			return err
		}
		if err := m.Start(ctx); err != nil {
			return err
		}
	}
	bin, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	if _, _, err := c.members[0].Client().AddModule(ctx, "guest", bin, nil); err != nil {
		return err
	}
	for i := range 3 {
		id := fmt.Sprintf("ledger-%d", i)
		if err := c.start(ctx, id, "ledger", []byte(`{}`)); err != nil {
			return err
		}
		c.ledgers = append(c.ledgers, id)
	}
	return nil
}

// beginDatabase starts the database, what is before it, and the outside.
func (c *chaos) beginDatabase(ctx context.Context) (err error) {
	c.web = httptest.NewUnstartedServer(c.outside)
	var settings map[string]string
	if *spaces {
		if c.network, err = newNetwork(ctx); err != nil {
			return err
		}
		settings = map[string]string{"listen_addresses": "127.0.0.1," + c.network.host()}
		_ = c.web.Listener.Close()
		if c.web.Listener, err = c.network.listen(); err != nil {
			return err
		}
	}
	c.web.Start()
	if c.postgres, err = pgtest.Open(settings); err != nil {
		return err
	}
	c.database = c.postgres.Port()
	if c.network != nil {
		return c.postgres.Admit(c.network.host() + "/24")
	}
	if *pooled {
		if c.pooler, err = c.postgres.OpenPooler(pgtest.User, 10); err != nil {
			return err
		}
		c.database = c.pooler.Port()
	}
	return nil
}

// member adds a node. It has a wire to the database, or a machine.
func (c *chaos) member(ctx context.Context, number int, o nodes.Options) (m *member, err error) {
	m = &member{}
	if c.network != nil {
		if m.machine, err = c.network.add(ctx, number); err != nil {
			return nil, err
		}
		o.Host, o.Token, o.Within = m.machine.at, "only-for-these-attacks", m.machine.within()
		o.Store = strings.Replace(c.postgres.URL(pgtest.User), "127.0.0.1", c.network.host(), 1)
	} else {
		if m.wire, err = newWire(net.JoinHostPort("127.0.0.1", strconv.Itoa(c.database))); err != nil {
			return nil, err
		}
		o.Store = c.postgres.URLAt(pgtest.User, m.wire.port())
		if c.pooler != nil {
			o.Store += pgtest.Behind
		}
	}
	if m.Node, err = nodes.New(o); err != nil {
		return nil, err
	}
	c.members = append(c.members, m)
	return m, nil
}

func (c *chaos) close() {
	for _, m := range c.members {
		m.Kill()
		if m.wire != nil {
			m.wire.close()
		}
	}
	if c.network != nil {
		c.network.close(len(c.members))
	}
	if c.web != nil {
		c.web.Close()
	}
	if c.pooler != nil {
		c.pooler.Close()
	}
	if c.postgres != nil {
		c.postgres.Close()
	}
	_ = os.RemoveAll(c.dir)
}

// keepLogs copies the logs of the nodes and of the database.
func (c *chaos) keepLogs(to string) {
	_ = os.MkdirAll(to, 0o755)
	for _, m := range c.members {
		_ = os.WriteFile(filepath.Join(to, m.Name+".log"), []byte(m.Log()), 0o644)
	}
	if c.postgres != nil {
		_ = os.WriteFile(filepath.Join(to, "postgres.log"), []byte(c.postgres.Log()), 0o644)
	}
	fmt.Fprintln(os.Stderr, "the logs are in", to)
}

// storm starts runs and attacks nodes.
func (c *chaos) storm(ctx context.Context) error {
	over, cancel := context.WithTimeout(ctx, *length)
	defer cancel()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	failed := make(chan error, 1)
	fail := func(err error) {
		if err == nil {
			return
		}
		select {
		case failed <- err:
		default:
		}
	}
	tick := time.NewTicker(time.Second / time.Duration(*rate))
	defer tick.Stop()
	next := time.NewTimer(2 * time.Second)
	defer next.Stop()
	c.rivals = &rivals{c: c, began: time.Now()}
	tasks.Go(func() {
		for n := 0; over.Err() == nil; n++ {
			if err := c.rivals.compete(ctx, n); err != nil {
				fail(fmt.Errorf("rivals %d: %w", n, err))
				return
			}
		}
	})
	report := time.NewTicker(10 * time.Second)
	defer report.Stop()
	for i := 0; ; i++ {
		select {
		case <-over.Done():
			tasks.Wait()
			select {
			case err := <-failed:
				return err
			default:
				return ctx.Err()
			}
		case err := <-failed:
			return err
		case <-tick.C:
			id := fmt.Sprintf("order-%d", i)
			in, err := json.Marshal(map[string]any{"outside": c.web.URL, "ledger": c.ledgers[c.n(0, 2)], "pause": c.n(10, 3000)})
			if err != nil {
				return err
			}
			tasks.Go(func() {
				began := time.Now()
				if err := c.start(ctx, id, "order", in); err != nil {
					fail(fmt.Errorf("starting %s: %w", id, err))
					return
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				c.accepted = append(c.accepted, id)
				c.worst = max(c.worst, time.Since(began))
			})
		case <-next.C:
			next.Reset(time.Duration(c.n(1000, int(2*lease.Milliseconds()))) * time.Millisecond)
			if a, m := c.choose(); m != nil {
				tasks.Go(func() {
					defer m.busy.Store(false)
					if err := a.do(ctx, c, m); err != nil {
						fail(fmt.Errorf("%s of node %s: %w", a.name, m.Name, err))
					}
				})
			}
		case <-report.C:
			c.mu.Lock()
			fmt.Printf("%d runs accepted, the slowest after %v; attacks: %s\n", len(c.accepted), c.worst.Round(time.Millisecond), c.counts())
			c.mu.Unlock()
		}
	}
}

// counts says how often each attack was made. The caller holds mu.
func (c *chaos) counts() string {
	var words []string
	for _, a := range c.may() {
		if n := c.attacks[a.name]; n > 0 {
			words = append(words, fmt.Sprintf("%s %d", a.name, n))
		}
	}
	return strings.Join(words, ", ")
}

// may returns the attacks on nodes of this kind.
func (c *chaos) may() []attack {
	if c.network != nil {
		return append(slices.Clone(attacks), partitions...)
	}
	return append(slices.Clone(attacks), cuts...)
}

// choose draws an attack and a node for it, which is nil if that suffers one already.
func (c *chaos) choose() (attack, *member) {
	var may []attack
	for _, a := range c.may() {
		if *only == "" || slices.Contains(strings.Split(*only, ","), a.name) {
			may = append(may, a)
		}
	}
	a, m := may[c.n(0, len(may)-1)], c.members[c.n(0, len(c.members)-1)]
	if !m.busy.CompareAndSwap(false, true) {
		return a, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attacks[a.name]++
	return a, m
}

// start starts a run at one node after another until one has accepted it. The id starts one run only.
func (c *chaos) start(ctx context.Context, id, workflow string, in []byte) error {
	_, err := c.ask(ctx, func(ctx context.Context, api *client.Client) (flawless.Run, error) {
		r, _, err := api.Start(ctx, client.Start{Module: "guest", Workflow: workflow, Input: in, ID: id}, false)
		return r, err
	})
	return err
}

// ask sends a request to one node after another until one answers. The request may be repeated.
func (c *chaos) ask(ctx context.Context, request func(ctx context.Context, api *client.Client) (flawless.Run, error)) (flawless.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		api := c.members[c.n(0, len(c.members)-1)].Client()
		brief, done := context.WithTimeout(ctx, 2**lease) // a node may be stopped
		r, err := request(brief, api)
		late := brief.Err() != nil
		done()
		if err == nil || !late && !nodes.Away(err) {
			return r, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return r, err
		}
	}
}

// check waits until all runs have ended, decides calls with an unknown outcome as a person who asks the outside would, and
// compares what has happened with what must have.
func (c *chaos) check(ctx context.Context) error {
	fmt.Printf("the attack is over: %d runs accepted, the slowest after %v; attacks: %s\n", len(c.accepted), c.worst.Round(time.Millisecond), c.counts())
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	repeated, answered := map[string]bool{}, 0
	children := map[string]string{} // by order
	for open := slices.Clone(c.accepted); len(open) > 0; {
		var still []string
		for _, id := range open {
			r, err := c.look(ctx, id)
			switch {
			case err != nil:
				return err
			case r.Status == flawless.Completed:
				if err := json.Unmarshal(r.Output, new(string)); err != nil {
					return fmt.Errorf("%s returned %s: %w", id, r.Output, err)
				}
				children[id] = strings.Trim(string(r.Output), `"`)
				continue
			case r.Status.Ended():
				return fmt.Errorf("%s is %s: %+v", id, r.Status, r.Failure)
			}
			still = append(still, id)
		}
		open = still
		unresolved, err := c.unresolved(ctx)
		if err != nil {
			return err
		}
		for _, r := range unresolved {
			for _, u := range r.Unresolved {
				at, err := url.Parse(strings.TrimPrefix(u.Request, "POST "))
				if err != nil || !strings.HasPrefix(at.Path, "/charge/") {
					return fmt.Errorf("call %d of %s has an unknown outcome, and is %q: %s", u.Call, r.ID, u.Request, u.Reason)
				}
				v := flawless.Decision{Call: u.Call, Resolution: flawless.Respond, Status: 204, Note: "the outside has it"}
				if c.outside.count(at.Path) == 0 {
					v.Resolution, v.Confirm, v.Status, v.Note = flawless.Retry, true, 0, "the outside does not have it"
					repeated[at.Path] = true
				} else {
					answered++
				}
				_, err = c.ask(ctx, func(ctx context.Context, api *client.Client) (flawless.Run, error) { return api.Resolve(ctx, r.ID, v) })
				if err != nil && !errors.Is(err, flawless.Conflict) { // it was decided by a request whose answer was lost
					return fmt.Errorf("deciding call %d of %s: %w", u.Call, r.ID, err)
				}
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d runs have not ended, such as %s: %w", len(open), open[0], ctx.Err())
		}
	}
	var wrong []string
	note := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, id := range c.accepted {
		for _, path := range []string{"/charge/" + id, "/charge/" + children[id]} {
			if n := c.outside.count(path); n != 1 {
				note("the outside was asked %d times for %s, which a person had repeated: %v", n, path, repeated[path])
			}
		}
	}
	c.rivals.check(note)
	if err := c.checkState(ctx, note); err != nil {
		return err
	}
	if err := c.checkLedgers(ctx, note); err != nil {
		return err
	}
	fmt.Printf("%v later all %d runs have ended; %d calls had an unknown outcome and had happened, %d had not and were repeated\n", time.Since(began).Round(time.Millisecond), len(c.accepted), answered, len(repeated))
	if len(wrong) > 0 {
		return fmt.Errorf("%d promises are broken:\n%s", len(wrong), strings.Join(wrong[:min(len(wrong), 20)], "\n"))
	}
	fmt.Println("each charge was made once, each message came once and in order, and no change of the state was lost")
	return nil
}

func (c *chaos) look(ctx context.Context, id string) (flawless.Run, error) {
	r, err := c.ask(ctx, func(ctx context.Context, api *client.Client) (flawless.Run, error) { return api.Run(ctx, id, false) })
	if err != nil {
		err = fmt.Errorf("asking for %s: %w", id, err)
	}
	return r, err
}

// unresolved returns the runs that wait for a decision, children included.
func (c *chaos) unresolved(ctx context.Context) (all []flawless.Run, err error) {
	_, err = c.ask(ctx, func(ctx context.Context, api *client.Client) (flawless.Run, error) {
		all = nil
		for r, err := range api.All(ctx, flawless.Filter{Status: []flawless.Status{flawless.Unresolved}}) {
			if err != nil {
				return r, err
			}
			all = append(all, r)
		}
		return flawless.Run{}, nil
	})
	return all, err
}

func (c *chaos) checkState(ctx context.Context, note func(format string, args ...any)) error {
	var s flawless.State
	_, err := c.ask(ctx, func(ctx context.Context, api *client.Client) (r flawless.Run, err error) {
		s, err = api.State(ctx, "sold")
		return r, err
	})
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	if got := string(s.Value); got != strconv.Itoa(len(c.accepted)) {
		note("%d runs have added one to the state, and it is %s", len(c.accepted), got)
	}
	return nil
}

func (c *chaos) checkLedgers(ctx context.Context, note func(format string, args ...any)) error {
	notes := map[string][]int{}
	for _, id := range c.ledgers {
		_, err := c.ask(ctx, func(ctx context.Context, api *client.Client) (r flawless.Run, err error) {
			_, err = api.Send(ctx, id, flawless.Message{Type: "note", Key: "stop", Body: []byte(`{"from":"","n":0,"stop":true}`)})
			return r, err
		})
		if err != nil && !errors.Is(err, flawless.Conflict) {
			return fmt.Errorf("stopping %s: %w", id, err)
		}
		for {
			r, err := c.look(ctx, id)
			if err != nil {
				return err
			}
			if r.Status == flawless.Completed {
				if err := json.Unmarshal(r.Output, &notes); err != nil {
					return err
				}
				break
			}
			if r.Status.Ended() || ctx.Err() != nil {
				return fmt.Errorf("%s is %s: %+v", id, r.Status, r.Failure)
			}
			<-time.After(100 * time.Millisecond)
		}
	}
	for _, id := range c.accepted {
		if got := notes[id]; !slices.Equal(got, []int{1, 2}) {
			note("the notes of %s came as %v", id, got)
		}
	}
	return nil
}
