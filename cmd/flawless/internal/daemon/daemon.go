// Package daemon runs the server in this process: what flawless up does after it has read its flags.
//
// It opens the working directory, the store (there or in a database) and the engine, listens, and shuts down in order when
// its context ends. It divides the open files among store, clients and calls, checks that the directory is no copy of
// another one, and gives each reason for which a server stops an error class of its own. It knows nothing of commands and
// flags. [CheckStore] checks a store without starting a server.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/late"
	"github.com/flawless-engine/flawless/internal/listen"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/server"
	"github.com/flawless-engine/flawless/internal/vault"
	"github.com/flawless-engine/flawless/internal/web"
	"github.com/flawless-engine/flawless/internal/web/session"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// Options configures a server.
type Options struct {
	Dir          string        // working directory
	Store        string        // address of a database for the store; "" is the working directory
	Schema       string        // of its tables; "" is the default
	Name         string        // of this node among those on the database; "" is the name of the machine
	Advertise    string        // address at which other nodes reach this one, host:port; "" is that of the connection to the database
	Lease        time.Duration // how long others wait for a node that has ended; 0 is cluster.DefaultTTL
	Socket       string        // address to listen on for UDP, host:port
	Port         int           // for TCP, on the host of Socket; 0 is any free port
	NoUDP        bool          // serve without HTTP/3
	Token        string        // that requests must have; empty is none
	NoToken      bool          // the environment sets the token, but to nothing
	Outside      Outside
	URL          string
	AllowedHosts []string
	Redact       []string
	SelfCalls    bool
	Drain        time.Duration
	MemoryPages  uint32
	TurnUnits    uint64
	TurnTime     time.Duration
	Live         int
	Memory       int64
	Verbose      bool
	RetryFor     *time.Duration
	AcceptCopy   bool      // accept a directory that is a copy
	Out          io.Writer // for what the server prints about its state
	Log          io.Writer

	isUp func()       // called when the server accepts requests
	late *late.Outbox // of this process
}

// Run runs a server until ctx ends or its store fails. Its error is of one of the classes below if the store
// is the reason.
//
// If its database has lost writes, the server starts once more, which finds out what that means for each run. A node of a
// cluster that stood still for so long that another one took over has nothing left that is its own. It begins anew in the same
// process, too, with everything made again as after a restart.
func Run(ctx context.Context, o Options) error {
	if o.Store != "" {
		o.late = new(late.Outbox)
	}
	for {
		up := false
		o.isUp = func() { up = true }
		err := serve(ctx, o)
		switch {
		case ctx.Err() != nil:
			return Reason(err)
		case up && errors.Is(err, WritesLost):
			fmt.Fprintln(o.Out, "starting again, because the database has lost writes that it had acknowledged")
		case errors.Is(err, errReplaced):
			fmt.Fprintf(o.Out, "starting again as a new node: %v\n", err)
		default:
			return Reason(err)
		}
	}
}

// serve starts everything, waits, and stops everything in reverse order.
func serve(ctx context.Context, o Options) (err error) {
	level := slog.LevelInfo
	if o.Verbose {
		level = slog.LevelDebug
	}
	mask, err := redact.NewMask(nil, o.Redact...)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(o.Log, &slog.HandlerOptions{Level: level, ReplaceAttr: mask.Attr}))
	if err := checkWritable(o.Dir, tryFile); err != nil {
		return err
	}
	outside, err := o.Outside.options()
	if err != nil {
		return err
	}
	files, err := share(openFiles())
	if err != nil {
		return err
	}
	type made struct { // concurrently with opening the store: both take time
		rt  *guest.Runtime
		err error
	}
	guests := make(chan made, 1)
	go func() {
		rt, err := guest.NewRuntime(ctx, guest.Options{CacheDir: filepath.Join(o.Dir, "compiled"), MemoryPages: o.MemoryPages, TurnUnits: o.TurnUnits})
		if err == nil {
			rt.Expect(ctx)
		}
		guests <- made{rt, err}
	}()
	st, err := o.openStore(ctx, files.store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	m := <-guests
	rt, err := m.rt, m.err
	if err != nil {
		return err
	}
	defer func() {
		brief, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // it may be compiling what nobody waits for
		defer done()
		err = errors.Join(err, rt.Close(brief))
	}()
	l, err := listen.Listen(listen.Address{Socket: o.Socket, Port: o.Port, MaxConnections: files.clients, Dir: o.Dir, Names: hostNames(o), NoUDP: o.NoUDP}, log)
	if err != nil {
		return err
	}
	if o.NoToken && !l.Local() { // probably because another variable is unset
		err := fmt.Errorf("$FLAWLESS_TOKEN is set but empty, and other machines can reach %s: give it a token, or unset it to let anyone in: %w", l.TCP(), flawless.Invalid)
		return errors.Join(err, l.Close(ctx))
	}
	secrets, err := vault.New(ctx, st.Store, vault.Options{Dir: o.Dir, Env: os.Getenv(vault.Variable), Log: log})
	if err != nil {
		return errors.Join(err, l.Close(ctx))
	}
	if o.URL == "" {
		o.URL = "http://" + l.TCP()
	}
	host, _ := os.Hostname()
	outside.Connections = files.calls
	if !o.SelfCalls {
		outside.Policy = func(host string, to netip.AddrPort) error {
			return cmp.Or(l.NotSelf(host, to), st.node.notNode(host, to))
		}
	}
	outgoing := effect.NewClient(outside, secrets.Open)
	options := engine.Options{Store: st.Store, Guest: rt, OwnCode: true, Kinds: effect.Kinds(effect.Options{HTTP: outgoing}), Space: st.space, Log: log,
		Owner: fmt.Sprintf("%s/%d", host, os.Getpid()), Live: o.Live, RetryFor: o.RetryFor, Memory: o.Memory, TurnTime: o.TurnTime, Vault: secrets, URL: o.URL, Hide: o.Redact, Ring: st.ring, Late: o.late}
	if n := st.node; n != nil {
		n.serves(l.Reachable())
		if err := n.join(ctx, secrets); err != nil {
			return errors.Join(err, l.Close(ctx))
		}
		options.Owner, options.Claim, options.Valid, options.Await, options.Cluster, options.Peers, options.Now, options.Request = n.member.Node().ID, n.claim, n.member.Valid, n.member.Await, n, n.peer, n.time.Now, forward.RequestID
	}
	eng, err := engine.Open(ctx, options)
	if err != nil {
		return errors.Join(err, st.node.withdraw(ctx), l.Close(ctx))
	}
	h := eng.Health()
	if err := st.sign(h.Start); err != nil {
		return errors.Join(err, l.Close(ctx), eng.Close(ctx))
	}
	log.Info("store opened", "store", h.Store, "start", h.Start, "host", host, "pid", os.Getpid(), "files", files.limit)
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	if o.Token == "" && !l.Local() {
		log.Warn("no token is set, so anyone who can reach this server has full access: set $FLAWLESS_TOKEN or --token-file", "address", l.TCP())
	}
	if o.Outside.ignoresEnvironment() {
		log.Warn("the environment names a proxy that is not used: use --proxy env to use it")
	}
	if n := st.node; n != nil {
		clients, nodes := n.handlers(streams, eng, log)
		n.begin(eng, nodes)
		l.Serve(web.Handler(web.Options{Token: o.Token, API: server.Require(o.Token, clients), Log: log}))
	} else {
		l.Serve(web.Handler(web.Options{Token: o.Token, API: server.Require(o.Token, server.Handler(streams, eng, log)), Log: log}))
	}
	withdraw, err := workdir.Announce(o.Dir, workdir.Server{Store: st.Identity().ID, UDP: l.UDP(), TCP: l.TCP()})
	if err != nil { // the server works, but commands need its address
		log.Warn("writing the address file failed, so commands cannot find this server by its working directory", "error", err)
	} else {
		defer func() { err = errors.Join(err, withdraw()) }()
	}
	quic := ""
	if l.UDP() != "" {
		quic = fmt.Sprintf(", https://%s (HTTP/3)", l.UDP())
	}
	fmt.Fprintf(o.Out, "flawless %s is up: http://%s (HTTP/1.1, HTTP/2)%s, data in %s\n", flawless.Version, l.TCP(), quic, st.place)
	fmt.Fprintf(o.Out, "console: %s\n", o.console(l.TCP()))
	if eng.History().Open {
		fmt.Fprintln(o.Out, questioned)
	}
	o.isUp()

	select {
	case <-ctx.Done():
		return o.stop(context.WithoutCancel(ctx), eng, l, st, endStreams)
	case <-eng.Broken():
		err := o.stop(context.WithoutCancel(ctx), eng, l, st, endStreams)
		return fmt.Errorf("%w: %w", errors.Join(eng.Gone(), err), StoreFailed)
	case err := <-st.node.replaced():
		log.Error("this node stood still or was cut off for too long; it begins anew", "error", err)
		eng.Leave() // others have all its runs, and get the outcomes of its calls
		endStreams()
		brief, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer done()
		_ = l.Close(brief) // clients that are cut off ask again
		return err
	}
}

// console returns the address of the console, with a code that logs in once if the server has a token.
func (o *Options) console(tcp string) string {
	at := "http://" + tcp + "/"
	if o.Token != "" {
		at += "login?code=" + session.New(o.Token).Code(time.Now())
	}
	return at
}

// questioned is what a server prints whose database may have lost writes.
const questioned = `The database may have lost acknowledged writes, and this server cannot know all
calls that were made since. So no run goes on that was open then, and no run with
an id of its caller's starts:
  flawless history              shows what is known
  flawless history accept --yes lets the runs go on, once you have decided about them`

// stop shuts down the engine, then the streams, then the listener. A second signal ends the waiting, also that for a
// database.
func (o *Options) stop(ctx context.Context, eng *engine.Engine, l *listen.Listener, st *opened, endStreams func()) error {
	again, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	limited, cancel := context.WithTimeout(again, o.Drain)
	defer cancel()
	stopLeaving := context.AfterFunc(limited, st.leave)
	defer stopLeaving()
	fmt.Fprintf(o.Out, "stopping: no new work is accepted; waiting up to %v for calls in flight (signal again to stop at once)\n", o.Drain)
	var err error
	if st.node != nil && eng.Gone() == nil {
		o.late.Empty(limited) // else what it has is lost with this process
		err = st.node.drain(limited)
	}
	err = errors.Join(err, eng.Close(limited))
	endStreams()
	brief, done := context.WithTimeout(again, 2*time.Second)
	defer done()
	if e := l.Close(brief); e != nil && !errors.Is(e, context.DeadlineExceeded) && !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("stopped before all calls in flight had an answer: %w", err)
	}
	fmt.Fprintln(o.Out, "stopped")
	return nil
}

// BindAddress returns the address that bind names, host or host:port. The default port is that of usual.
func BindAddress(bind, usual string) (string, error) {
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

// CheckNames returns [flawless.Invalid] for the URL or the names of hosts at which others are to reach the server.
func CheckNames(public string, hosts []string) error {
	if u, err := url.Parse(public); public != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || strings.ContainsAny(public, "?#")) {
		shown := public
		if err == nil {
			shown = u.Redacted()
		}
		return fmt.Errorf("--public-url is %q; use a URL without user, query and fragment, such as https://flawless.example: %w", shown, flawless.Invalid)
	}
	for _, host := range hosts {
		if strings.Contains(host, "/") {
			return fmt.Errorf("--allow-host is %q; use a host name such as flawless.example.com, without http:// and path: %w", host, flawless.Invalid)
		}
	}
	return nil
}

// hostNames returns the host names that the operator gave the server.
func hostNames(o Options) []string {
	if o.URL == "" {
		return o.AllowedHosts
	}
	return append(slices.Clone(o.AllowedHosts), o.URL)
}
