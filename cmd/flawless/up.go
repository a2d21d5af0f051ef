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
	c := &cobra.Command{Use: "up", Short: "Start the server", Args: cobra.NoArgs,
		Long: `Runs the server until you stop it (SIGTERM or Ctrl-C). Commands with the same
--working-dir find it. With --port 0 it picks free ports, so several servers
can run on one machine.

When you stop it, the server takes no new work, waits for calls in flight and
logs their answers. A second signal stops it at once; the outcomes of calls in
flight are then determined at the next start.

If the disk fails and the server cannot go on writing its store, it stops with
exit code 12. Have your service manager restart it.`,
		Example: "  flawless --working-dir ./data up\n  flawless up --socket 0.0.0.0:27288 --port 8080 --token-file token.txt\n  flawless --working-dir ./other up --port 0",
		RunE:    func(c *cobra.Command, _ []string) error { return whyEnded(a.up(c.Context(), o)) }}
	f := c.Flags()
	f.DurationVar(&o.drain, "drain", 30*time.Second, "how long a graceful shutdown waits for calls in flight")
	f.Uint32Var(&o.pages, "memory-pages", 4096, "maximum memory of a guest, in pages of 64 KiB")
	f.Uint64Var(&o.units, "turn-units", 0, "maximum computation in one turn, in metered units; 0 is unlimited")
	f.DurationVar(&o.time, "turn-time", 0, "maximum time of one turn; 0 is unlimited. Prefer --turn-units, which is the same on every machine")
	f.StringVar(&o.bind, "bind", "", "address to listen on, for TCP and UDP: host or host:port; replaces --socket")
	f.StringVar(&o.url, "public-url", "", "URL at which others reach this server, used in the URLs of promises (default: http:// and the address)")
	f.StringArrayVar(&o.names, "allow-host", nil, "additional host name to accept requests for, such as that of a proxy (repeatable)")
	f.StringArrayVar(&o.hide, "redact", nil, "header or URL parameter whose value is never shown, such as header:X-Api-Key or query:token (repeatable)")
	f.BoolVar(&o.self, "allow-self-calls", false, "allow runs to call the API of this server")
	o.outside.flags(f)
	o.retryFor = retryForFlag(flawless.DefaultRetryFor.Milliseconds())
	f.Var(&o.retryFor, "retry-for", "how long failed calls are retried, such as 24h or 7d; 0 disables retries (default 24h). Hosts and modules can override it")
	f.IntVar(&o.live, "live", 0, "maximum number of guests in memory; 0 is as many as --memory allows")
	o.memory = byDefault
	f.Var(&o.memory, "memory", "target for the memory use of the server, such as 1GiB: as many guests stay in memory as fit; 0 is unlimited")
	f.BoolVar(&o.copied, "accept-copy", false, "accept a working directory that is a copy, was restored or moved: it becomes a separate store, and all open runs are held until you resume them")
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
	if _, set := os.LookupEnv(tokenVariable); set && token == "" && !l.Local() { // as from an unset variable
		err := fmt.Errorf("$%s is set but empty, and others than this machine reach the address %s: give it a token, or unset it to let anyone in: %w", tokenVariable, l.TCP(), flawless.Invalid)
		return errors.Join(err, l.Close(ctx))
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
	log.Info("store opened", "store", h.Store, "start", h.Start, "host", host, "pid", os.Getpid(), "files", files.limit)
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	if token == "" && !l.Local() {
		log.Warn("no token is set, so anyone who can reach this server has full access: set $FLAWLESS_TOKEN or --token-file", "address", l.TCP())
	}
	if o.outside.forgotten() {
		log.Warn("the environment names a proxy that is not used: use --proxy env to use it")
	}
	l.Serve(server.Require(token, server.Handler(streams, eng, log)))
	withdraw, err := workdir.Announce(a.dir, workdir.Server{Store: st.Identity().ID, UDP: l.UDP(), TCP: l.TCP()})
	if err != nil { // commands find it by its address
		log.Warn("could not write the address file, so commands cannot find this server by its working directory", "error", err)
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
		return "", fmt.Errorf("--bind is %q; use a host such as 0.0.0.0, or host:port: %w", bind, flawless.Invalid)
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
	fmt.Fprintf(a.out, "stopping: no new work is accepted; waiting up to %v for calls in flight (signal again to stop at once)\n", drain)
	err := eng.Close(limited)
	endStreams()
	brief, done := context.WithTimeout(again, 2*time.Second)
	defer done()
	if e := l.Close(brief); e != nil && !errors.Is(e, context.DeadlineExceeded) && !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("stopped before all calls in flight had an answer: %w", err)
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
		return fmt.Errorf("cannot restrict access to %s: %v; it must belong to the user that runs the server: %w", dir, err, flawless.Invalid)
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
		return fmt.Errorf("cannot create the directory %s: %w", dir, err)
	}
	return fmt.Errorf("the working directory %s is not writable: %v; choose another with --working-dir: %w", dir, err, flawless.Invalid)
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
