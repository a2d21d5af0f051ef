// Command demo shows the purpose of Flawless: a workflow charges a card exactly once although the server is killed
// twice.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/demo/internal/shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	d := &demo{}
	err := d.run(ctx)
	d.clean()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type demo struct {
	dir, binary string
	socket      string
	port        int
	server      *exec.Cmd
	client      *client.Client
	shop        *shop.Shop
	web         *httptest.Server
}

func say(format string, args ...any) { fmt.Printf("\n▶ "+format+"\n", args...) }

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "flawless-demo"); err != nil {
		return err
	}
	say("building the command and the workflow of examples/checkout")
	d.binary = filepath.Join(d.dir, "flawless")
	if err := d.command(ctx, "", "go", "build", "-o", d.binary, "./cmd/flawless"); err != nil {
		return err
	}
	module := filepath.Join(d.dir, "checkout.wasm")
	if err := d.command(ctx, "", d.binary, "build", "examples/checkout", "-o", module); err != nil {
		return err
	}
	d.shop = shop.New()
	d.web = httptest.NewServer(d.shop)
	say("stock, payment and shipping answer at %s and count what they are asked for", d.web.URL)
	if err := d.up(ctx); err != nil {
		return err
	}
	if err := d.command(ctx, "", d.binary, "--socket", d.socket, "--port", strconv.Itoa(d.port), "module", "add", "checkout", module); err != nil {
		return err
	}
	if err := d.first(ctx); err != nil {
		return err
	}
	if err := d.second(ctx); err != nil {
		return err
	}
	say("on a server of your own, flawless open shows all of this in a browser; make demo-console fills one")
	return nil
}

// first kills the server while the run sleeps.
func (d *demo) first(ctx context.Context) error {
	say("FIRST: an order; the server is killed (kill -9) after the card was charged, before the parcel is shipped")
	if err := d.order(ctx, "order-1"); err != nil {
		return err
	}
	if err := d.until(ctx, "order-1", func(r flawless.Run) bool { return r.Wake != nil }); err != nil {
		return err
	}
	if err := d.kill(ctx); err != nil {
		return err
	}
	r, err := d.client.Run(ctx, "order-1", true)
	if err != nil {
		return err
	}
	if err := d.log(ctx, "order-1"); err != nil {
		return err
	}
	return d.check(r, "order-1")
}

// second kills the server during the charge, so the outcome is unknown.
func (d *demo) second(ctx context.Context) error {
	say("SECOND: another order; the server is killed while the charge is on its way")
	paused := d.shop.Hold()
	if err := d.order(ctx, "order-2"); err != nil {
		return err
	}
	select {
	case <-paused.Arrived:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := d.kill(ctx); err != nil {
		return err
	}
	close(paused.Open)
	if err := d.until(ctx, "order-2", func(r flawless.Run) bool { return r.Status == flawless.Unresolved }); err != nil {
		return err
	}
	say("the engine cannot know whether the card was charged, so it does not charge it again: it asks")
	if err := d.command(ctx, "", d.binary, "--socket", d.socket, "--port", strconv.Itoa(d.port), "workflow", "show", "order-2"); err != nil {
		return err
	}
	charge := d.shop.Created("/charges", "order-2")
	say("we look it up at the payment service: it was charged, as %s. So we say what it answered", charge)
	file := filepath.Join(d.dir, "answer.json")
	if err := os.WriteFile(file, []byte(`{"id":"`+charge+`"}`), 0o600); err != nil {
		return err
	}
	r, err := d.client.Run(ctx, "order-2", false)
	if err != nil {
		return err
	}
	if err := d.command(ctx, "", d.binary, "--socket", d.socket, "--port", strconv.Itoa(d.port), "workflow", "resolve", "order-2",
		"--call", strconv.Itoa(r.Unresolved[0].Call), "--response", file, "--status", "201", "--note", "seen at the payment service"); err != nil {
		return err
	}
	if r, err = d.client.Run(ctx, "order-2", true); err != nil {
		return err
	}
	if err := d.log(ctx, "order-2"); err != nil {
		return err
	}
	return d.check(r, "order-2")
}

func (d *demo) order(ctx context.Context, id string) error {
	in, err := json.Marshal(map[string]any{"id": id, "item": "book", "quantity": 1, "card": "tok_4711", "cents": 1999, "services": d.web.URL})
	if err != nil {
		return err
	}
	_, _, err = d.client.Start(ctx, client.Start{Module: "checkout", Workflow: "checkout", Input: in, ID: id}, false)
	return err
}

func (d *demo) check(r flawless.Run, id string) error {
	if r.Status != flawless.Completed {
		return fmt.Errorf("%s is %s: %+v", id, r.Status, r.Failure)
	}
	n := d.shop.Count("/charges", id)
	say("%s completed: %s\n  the payment service was asked to charge the card %d time", id, r.Output, n)
	if n != 1 {
		return fmt.Errorf("the card was charged %d times", n)
	}
	return nil
}

func (d *demo) log(ctx context.Context, id string) error {
	say("the log of the run")
	return d.command(ctx, "", d.binary, "--socket", d.socket, "--port", strconv.Itoa(d.port), "workflow", "log", id)
}

// command prints and runs a command.
func (d *demo) command(ctx context.Context, dir, name string, args ...string) error {
	fmt.Println("  $", filepath.Base(name), strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		fmt.Print("    ", line)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}

// up starts the server and waits until it answers.
func (d *demo) up(ctx context.Context) error {
	if d.port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		d.port = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		d.socket = "127.0.0.1:" + strconv.Itoa(d.port)
	}
	d.server = exec.Command(d.binary, "--working-dir", filepath.Join(d.dir, "data"), "--socket", d.socket, "--port", strconv.Itoa(d.port), "up")
	d.server.Env = append(d.server.Environ(), "FLAWLESS_TOKEN=") // the client of the demo sends none
	d.server.Stderr = os.Stderr
	if err := d.server.Start(); err != nil {
		return err
	}
	for {
		c, err := client.New(client.Options{Socket: d.socket, Port: d.port})
		if err != nil {
			return err
		}
		if _, err := c.Version(ctx); err == nil {
			d.client = c
			fmt.Printf("  the server is up, process %d\n", d.server.Process.Pid)
			return nil
		} else if !errors.Is(err, client.Unreachable) {
			return err
		}
		_ = c.Close()
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// kill kills the server and starts it again.
func (d *demo) kill(ctx context.Context) error {
	say("kill -9 %d, and start it again", d.server.Process.Pid)
	if err := d.server.Process.Kill(); err != nil {
		return err
	}
	_ = d.server.Wait()
	_ = d.client.Close()
	return d.up(ctx)
}

// until follows a run until it is as expected.
func (d *demo) until(ctx context.Context, id string, what func(flawless.Run) bool) error {
	for {
		r, err := d.client.Run(ctx, id, false)
		if err != nil || what(r) {
			return err
		}
		if r.Status.Ended() {
			return fmt.Errorf("%s is %s: %+v", id, r.Status, r.Failure)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *demo) clean() {
	if d.server != nil && d.server.Process != nil {
		_ = d.server.Process.Kill()
		_ = d.server.Wait()
	}
	if d.web != nil {
		d.web.Close()
	}
	_ = os.RemoveAll(d.dir)
}
