package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
	_ "time/tzdata" // for schedules on machines that know no time zones

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/server"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/flawless-engine/flawless/internal/vault"
)

// upOptions is how a server is run.
type upOptions struct {
	url     string
	drain   time.Duration
	pages   uint32
	units   uint64
	time    time.Duration
	live    int
	memory  bytesFlag
	verbose bool
}

func (a *app) upCommand() *cobra.Command {
	var o upOptions
	c := &cobra.Command{Use: "up", Short: "Run the server", Args: cobra.NoArgs,
		Long: "Runs the server until it is told to stop (SIGTERM, or Ctrl-C). It then takes no new work, waits for calls in\n" +
			"flight and writes their answers. A second signal stops it at once; whatever was in flight is found out at the next start.\n" +
			"Where the disk fails so that the store has to be given up it ends with exit code 12: have it started again.",
		Example: "  flawless --working-dir ./data up\n  flawless up --socket 0.0.0.0:27288 --port 8080 --token-file token.txt",
		RunE:    func(c *cobra.Command, _ []string) error { return a.up(c.Context(), o) }}
	f := c.Flags()
	f.DurationVar(&o.drain, "drain", 30*time.Second, "how long an orderly stop waits for calls in flight")
	f.Uint32Var(&o.pages, "memory-pages", 4096, "limit of a guest's memory, in pages of 64 KiB")
	f.Uint64Var(&o.units, "turn-units", 0, "limit of computation in one turn, in metered units; 0 is unlimited")
	f.DurationVar(&o.time, "turn-time", 0, "limit of the time one turn may take; 0 is unlimited. Better limit --turn-units, which are the same everywhere")
	f.StringVar(&o.url, "public-url", "", "where others reach this server; runs tell it to those who are to settle a promise (default http:// and the address)")
	f.IntVar(&o.live, "live", 256, "guests kept in memory at most")
	f.Var(&o.memory, "memory", "memory that the server should stay below, such as 1GiB; near it guests leave memory as soon as they wait; 0 is unlimited")
	f.BoolVar(&o.verbose, "verbose", false, "log debug messages")
	return c
}

func (a *app) up(ctx context.Context, o upOptions) (err error) {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: level}))
	token, err := a.token()
	if err != nil {
		return err
	}
	if err := writable(a.dir); err != nil {
		return err
	}
	files, err := share(openFiles())
	if err != nil {
		return err
	}
	type made struct { // beside the opening of the store, neither of which is quick
		rt  *guest.Runtime
		err error
	}
	guests := make(chan made, 1)
	go func() {
		rt, err := guest.NewRuntime(ctx, guest.Options{CacheDir: filepath.Join(a.dir, "compiled"), MemoryPages: o.pages, TurnUnits: o.units})
		if err == nil {
			rt.Expect(ctx)
		}
		guests <- made{rt, err}
	}()
	db, err := pebble.Open(filepath.Join(a.dir, "store"), pebble.Options{Log: log, Files: files.store})
	if err != nil {
		return err
	}
	defer closing(&err, db.Close)
	st, err := store.Open(ctx, db)
	if err != nil {
		return err
	}
	m := <-guests
	rt, err := m.rt, m.err
	if err != nil {
		return err
	}
	defer closing(&err, func() error { return rt.Close(context.WithoutCancel(ctx)) })
	port := a.port
	if port == 0 {
		if _, p, e := net.SplitHostPort(a.socket); e == nil {
			port, _ = strconv.Atoi(p)
		}
	}
	l, err := server.Listen(server.Address{Socket: a.socket, Port: port, Most: files.clients, Dir: a.dir}, log)
	if err != nil {
		return err
	}
	secrets, err := vault.New(ctx, st, vault.Options{Dir: a.dir, Env: os.Getenv(vault.Variable), Log: log})
	if err != nil {
		return errors.Join(err, l.Close(ctx))
	}
	if o.url == "" {
		o.url = "http://" + l.TCP()
	}
	host, _ := os.Hostname()
	web := effect.NewClient(effect.ClientOptions{Secrets: secrets.Open, Connections: files.calls})
	eng, err := engine.Open(ctx, engine.Options{Store: st, Guest: rt, Kinds: effect.Kinds(effect.Options{HTTP: web}), Space: db, Log: log,
		Owner: fmt.Sprintf("%s/%d", host, os.Getpid()), Live: o.live, Memory: int64(o.memory), TurnTime: o.time, Vault: secrets, URL: o.url})
	if err != nil {
		return errors.Join(err, l.Close(ctx))
	}
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	if token == "" && !l.Local() {
		log.Warn("whoever reaches this server may do everything with it: set a token, with $FLAWLESS_TOKEN or --token-file", "address", l.TCP())
	}
	l.Serve(server.Require(token, server.Handler(streams, eng, log)))
	fmt.Fprintf(a.out, "flawless %s is up: http://%s (HTTP/1.1, HTTP/2), https://%s (HTTP/3), data in %s\n", flawless.Version, l.TCP(), l.UDP(), a.dir)

	select {
	case <-ctx.Done():
		return a.down(context.WithoutCancel(ctx), o.drain, eng, l, endStreams)
	case <-eng.Broken():
		err := a.down(context.WithoutCancel(ctx), o.drain, eng, l, endStreams)
		return fmt.Errorf("%w: %w", errors.Join(eng.Gone(), err), storeGivenUp)
	}
}

// down stops in order.
func (a *app) down(ctx context.Context, drain time.Duration, eng *engine.Engine, l *server.Listener, endStreams func()) error {
	again, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	limited, cancel := context.WithTimeout(again, drain)
	defer cancel()
	fmt.Fprintf(a.out, "stopping: no new work; waiting up to %v for calls in flight (once more to stop at once)\n", drain)
	err := eng.Close(limited)
	endStreams()
	brief, done := context.WithTimeout(again, 2*time.Second)
	defer done()
	if e := l.Close(brief); e != nil && !errors.Is(e, context.DeadlineExceeded) && !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("stopped before all calls were answered: %w", err)
	}
	fmt.Fprintln(a.out, "stopped")
	return nil
}

func closing(err *error, f func() error) {
	if e := f(); e != nil && *err == nil {
		*err = e
	}
}

// writable makes the working directory and checks that it can be written.
func writable(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".write-*"); err == nil {
			_, err = io.WriteString(f, "x")
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("the working directory %s cannot be written: %v; choose another with --working-dir: %w", dir, err, flawless.Invalid)
	}
	return nil
}
