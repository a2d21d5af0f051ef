// Command console fills a server with runs in every state, from workflows of a shop whose services break in many ways, and
// prints the address of the console, which then has something to show. It goes on until it is interrupted.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

var (
	orders = flag.Int("orders", 300, "orders to begin with")
	pace   = flag.Duration("pace", 2*time.Second, "time between two orders later on; 0 is none")
	binary = flag.String("flawless", "", "the command; without it, it is built")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	d := &demo{}
	err := d.run(ctx)
	d.clean()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo-console:", err)
		os.Exit(1)
	}
}

type demo struct {
	dir, binary string
	flags       []string // that name the server
	server      *exec.Cmd
	client      *client.Client
	world       *outside
}

// token makes the printed address log in.
const token = "demo-console"

func say(format string, args ...any) { fmt.Printf("▶ "+format+"\n", args...) }

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "flawless-console"); err != nil {
		return err
	}
	say("building the command and two versions of the shop")
	if d.binary = *binary; d.binary == "" {
		d.binary = filepath.Join(d.dir, "flawless")
		if _, err := d.command(ctx, nil, "go", "build", "-o", d.binary, "./cmd/flawless"); err != nil {
			return err
		}
	}
	first, next := filepath.Join(d.dir, "shop.wasm"), filepath.Join(d.dir, "next.wasm")
	if _, err := d.command(ctx, nil, d.binary, "build", "demo/console/shop", "-o", first); err != nil {
		return err
	}
	if _, err := d.command(ctx, []string{"GOFLAGS=-tags=next"}, d.binary, "build", "demo/console/shop", "-o", next); err != nil {
		return err
	}
	if d.world, err = newOutside(); err != nil {
		return err
	}
	if err := d.up(ctx); err != nil {
		return err
	}
	say("filling the server: %d orders, and some of everything else", *orders)
	if err := d.fill(ctx, first, next); err != nil {
		return err
	}
	at, err := d.command(ctx, nil, d.binary, append(d.flags, "open", "--print")...)
	if err != nil {
		return err
	}
	say("open %s", strings.TrimSpace(at))
	if *pace > 0 {
		fmt.Printf("  It logs in once, within 10 minutes; later: paste the token %s. An order comes every %v. Ctrl-C ends it.\n", token, *pace)
	}
	return d.live(ctx)
}

// up starts the server and waits until it answers.
func (d *demo) up(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	socket := "localhost:" + strconv.Itoa(port)
	d.flags = []string{"--socket", socket, "--port", strconv.Itoa(port)}
	d.server = exec.Command(d.binary, append(d.flags, "--working-dir", filepath.Join(d.dir, "data"), "up", "--tcp", "--proxy", d.world.URL())...)
	d.server.Env = append(d.server.Environ(), "FLAWLESS_TOKEN="+token)
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	d.server.Stderr, d.server.Stdout = log, log
	if err := d.server.Start(); err != nil {
		return err
	}
	if d.client, err = client.New(client.Options{Socket: socket, Port: port, NoQUIC: true, Token: token}); err != nil {
		return err
	}
	for {
		if _, err := d.client.Version(ctx); err == nil {
			return nil
		} else if !errors.Is(err, client.Unreachable) {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the server does not answer: %w: %s", err, text)
		}
	}
}

// command runs a command and returns what it prints.
func (d *demo) command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(append(cmd.Environ(), "FLAWLESS_TOKEN="+token), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return string(out), nil
}

// start starts a run.
func (d *demo) start(ctx context.Context, s client.Start, input any) error {
	b, err := json.Marshal(input)
	if err != nil {
		return err
	}
	if s.Module == "" {
		s.Module = "shop"
	}
	s.Input = b
	_, _, err = d.client.Start(ctx, s, false)
	return err
}

// until waits until a run is in one of some states.
func (d *demo) until(ctx context.Context, id string, states ...flawless.Status) (flawless.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		r, err := d.client.Run(ctx, id, false)
		if err != nil {
			return r, err
		}
		for _, s := range states {
			if r.Status == s {
				return r, nil
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return r, fmt.Errorf("run %s is %s, and not %v: %w", id, r.Status, states, err)
		}
	}
}

// pause waits for a while, or until ctx ends, whose error it returns then.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *demo) clean() {
	if d.client != nil {
		_ = d.client.Close()
	}
	if d.server != nil && d.server.Process != nil {
		_ = d.server.Process.Kill()
		_ = d.server.Wait()
	}
	if d.world != nil {
		_ = d.world.Close()
	}
	if d.dir != "" {
		_ = os.RemoveAll(d.dir)
	}
}
