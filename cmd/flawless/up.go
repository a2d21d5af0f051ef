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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/errno"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/server"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/flawless-engine/flawless/internal/vault"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// upOptions is how a server is run.
type upOptions struct {
	outside  outside
	bind     string
	url      string
	names    []string
	hide     []string
	self     bool
	drain    time.Duration
	pages    uint32
	units    uint64
	time     time.Duration
	live     int
	memory   memoryFlag
	verbose  bool
	retryFor retryForFlag
	copied   bool // a copy of a directory is accepted
}

func (a *app) upCommand() *cobra.Command {
	var o upOptions
	c := &cobra.Command{Use: "up", Short: "Run the server", Args: cobra.NoArgs,
		Long: "Runs the server until you stop it (SIGTERM or Ctrl-C). Commands with the same --working-dir find it;\n" +
			"with --port 0 it takes free ports, so that several servers run side by side. On a stop it takes no new work, waits for calls in\n" +
			"flight and writes their answers. A second signal stops it at once; whatever was in flight is found out at the next start.\n" +
			"Where the disk fails so that the store has to be given up it ends with exit code 12: have it started again.",
		Example: "  flawless --working-dir ./data up\n  flawless up --socket 0.0.0.0:27288 --port 8080 --token-file token.txt\n  flawless --working-dir ./other up --port 0",
		RunE:    func(c *cobra.Command, _ []string) error { return whyEnded(a.up(c.Context(), o)) }}
	f := c.Flags()
	f.DurationVar(&o.drain, "drain", 30*time.Second, "how long an orderly stop waits for calls in flight")
	f.Uint32Var(&o.pages, "memory-pages", 4096, "limit of a guest's memory, in pages of 64 KiB")
	f.Uint64Var(&o.units, "turn-units", 0, "limit of computation in one turn, in metered units; 0 is unlimited")
	f.DurationVar(&o.time, "turn-time", 0, "limit of the time one turn may take; 0 is unlimited. Better limit --turn-units, which are the same everywhere")
	f.StringVar(&o.bind, "bind", "", "address to listen on, over TCP and UDP: a host, or host:port; in the place of --socket")
	f.StringVar(&o.url, "public-url", "", "where others reach this server; runs tell it to those who are to settle a promise (default http:// and the address)")
	f.StringArrayVar(&o.names, "allow-host", nil, "a further name under which requests reach this server, as proxies and DNS have it; may be repeated")
	f.StringArrayVar(&o.hide, "redact", nil, "do not show the values of a header or a parameter of URLs, such as header:X-Api-Key or query:token; may be repeated")
	f.BoolVar(&o.self, "allow-self-calls", false, "let runs call the API of this server")
	o.outside.flags(f)
	o.retryFor = retryForFlag(flawless.DefaultRetryFor.Milliseconds())
	f.Var(&o.retryFor, "retry-for", "for how long failed calls are retried, such as 24h or 7d; 0 is not at all (default 24h). Hosts and modules can have their own")
	f.IntVar(&o.live, "live", 0, "guests kept in memory at most; 0 is as many as --memory allows")
	o.memory = byDefault
	f.Var(&o.memory, "memory", "memory that the server should stay below, such as 1GiB: as many guests stay as fit in; 0 is unlimited")
	f.BoolVar(&o.copied, "accept-copy", false, "go on with a working directory that is a copy, was restored or moved: it becomes a store of its own, and all open runs wait until they are resumed")
	f.BoolVar(&o.verbose, "verbose", false, "log debug messages")
	return c
}

func (a *app) up(ctx context.Context, o upOptions) (err error) {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	mask, err := redact.NewMask(nil, o.hide...)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: level, ReplaceAttr: mask.Attr}))
	if o.bind != "" {
		if a.socket, err = bound(o.bind, a.socket); err != nil {
			return err
		}
	}
	token, err := a.token()
	if err != nil {
		return err
	}
	if err := writable(a.dir, tryFile); err != nil {
		return err
	}
	outside, err := o.outside.options()
	if err != nil {
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
	home, err := lookAt(filepath.Join(a.dir, "store"), o.copied, log)
	if err != nil {
		return err
	}
	if err := private(home.dir); err != nil {
		return err
	}
	db, err := pebble.Open(home.dir, pebble.Options{Log: log, Files: files.store})
	if err != nil {
		return err
	}
	defer closing(&err, db.Close)
	st, err := store.Open(ctx, db)
	if err != nil {
		return err
	}
	if err := home.enter(ctx, st); err != nil {
		return err
	}
	m := <-guests
	rt, err := m.rt, m.err
	if err != nil {
		return err
	}
	defer closing(&err, func() error { return rt.Close(context.WithoutCancel(ctx)) })
	port := a.port
	if port == 0 && !a.freePort {
		if _, p, e := net.SplitHostPort(a.socket); e == nil {
			port, _ = strconv.Atoi(p)
		}
	}
	l, err := server.Listen(server.Address{Socket: a.socket, Port: port, Most: files.clients, Dir: a.dir, Names: names(o)}, log)
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
	outside.Secrets, outside.Connections = secrets.Open, files.calls
	if !o.self {
		outside.Policy = l.NotSelf
	}
	web := effect.NewClient(outside)
	eng, err := engine.Open(ctx, engine.Options{Store: st, Guest: rt, OwnCode: true, Kinds: effect.Kinds(effect.Options{HTTP: web}), Space: db, Log: log,
		Owner: fmt.Sprintf("%s/%d", host, os.Getpid()), Live: o.live, RetryFor: o.retryFor.time(), Memory: o.memory.budget(), TurnTime: o.time, Vault: secrets, URL: o.url, Hide: o.hide})
	if err != nil {
		return errors.Join(err, l.Close(ctx))
	}
	h := eng.Health()
	if err := workdir.Sign(home.dir, st.Identity(), h.Start, time.Now()); err != nil {
		return errors.Join(err, l.Close(ctx), eng.Close(ctx))
	}
	log.Info("the store is open", "store", h.Store, "start", h.Start, "host", host, "pid", os.Getpid(), "files", files.limit)
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	if token == "" && !l.Local() {
		log.Warn("whoever reaches this server may do everything with it: set a token, with $FLAWLESS_TOKEN or --token-file", "address", l.TCP())
	}
	if o.outside.forgotten() {
		log.Warn("the environment names a proxy, which is not used: say --proxy env to use it")
	}
	l.Serve(server.Require(token, server.Handler(streams, eng, log)))
	withdraw, err := workdir.Announce(a.dir, workdir.Server{Store: st.Identity().ID, UDP: l.UDP(), TCP: l.TCP()})
	if err != nil { // commands find it by its address
		log.Warn("commands do not find this server by its working directory", "error", err)
	} else {
		defer closing(&err, withdraw)
	}
	fmt.Fprintf(a.out, "flawless %s is up: http://%s (HTTP/1.1, HTTP/2), https://%s (HTTP/3), data in %s\n", flawless.Version, l.TCP(), l.UDP(), a.dir)

	select {
	case <-ctx.Done():
		return a.down(context.WithoutCancel(ctx), o.drain, eng, l, endStreams)
	case <-eng.Broken():
		err := a.down(context.WithoutCancel(ctx), o.drain, eng, l, endStreams)
		return fmt.Errorf("%w: %w", errors.Join(eng.Gone(), err), storeGivenUp)
	}
}

// bound is the address of --bind, with the port of the usual one where it has none.
func bound(bind, usual string) (string, error) {
	if host, port, err := net.SplitHostPort(bind); err == nil && !strings.ContainsAny(host+port, "/ ") {
		return bind, nil
	}
	host := strings.TrimSuffix(strings.TrimPrefix(bind, "["), "]")
	_, port, err := net.SplitHostPort(usual)
	if err != nil || strings.ContainsAny(host, "/ ") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", fmt.Errorf("--bind is %q, give a host such as 0.0.0.0, or host:port: %w", bind, flawless.Invalid)
	}
	return net.JoinHostPort(host, port), nil
}

// names are those that the operator gave the server.
func names(o upOptions) []string {
	if o.url == "" {
		return o.names
	}
	return append(slices.Clone(o.names), o.url)
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

// private makes a directory that nobody else can look into, whatever the one around it allows: logs hold
// what runs have sent and received as it was.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unwritable(dir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("keeping others out of %s: %v; it must belong to the user of the server: %w", dir, err, flawless.Invalid)
	}
	return nil
}

// writable makes the working directory and checks with try that it can be written. A full disk passes: the
// store has a reserve, with which the server completes what is under way.
func writable(dir string, try func(dir string) error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unwritable(dir, err)
	}
	if err := try(dir); err != nil && !isFull(err) {
		return unwritable(dir, err)
	}
	return nil
}

// tryFile writes a file in a directory and removes it.
func tryFile(dir string) error {
	f, err := os.CreateTemp(dir, ".write-*")
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, "x")
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// unwritable explains why a directory cannot be made or written.
func unwritable(dir string, err error) error {
	if isFull(err) {
		return fmt.Errorf("directory %s cannot be made: %w", dir, err)
	}
	return fmt.Errorf("the working directory %s cannot be written: %v; choose another with --working-dir: %w", dir, err, flawless.Invalid)
}

// isFull tells whether an error says that the disk, or the user's share of it, is full.
func isFull(err error) bool {
	return errors.Is(err, flawless.Full) || errno.Full(err)
}

// whyEnded marks an error with which the server has ended so that its exit code and hint are those of a server
// and not those of a command that asks one: a server that has ended does not go on by itself when there is
// space, and a damaged store is not a damaged file that somebody gave to a command.
func whyEnded(err error) error {
	switch {
	case errors.Is(err, storeGivenUp):
		return err
	case errors.Is(err, flawless.Damaged):
		return fmt.Errorf("%w: %w", err, endedDamaged)
	case isFull(err):
		return fmt.Errorf("%w: %w", err, endedFull)
	}
	return err
}
