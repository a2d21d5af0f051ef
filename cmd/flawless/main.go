// Command flawless runs a server and talks to one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// exitCodes has the exit code of each class of error; anything else is 1.
var exitCodes = []struct {
	code flawless.Code
	exit int
	hint string
}{
	{storeGivenUp, 12, "restart the server when the disk works again; accepted work is not lost"}, // before the classes it wraps
	{endedFull, 8, "free some disk space, then restart the server; accepted work is not lost"},
	{damagedStore, 13, "restore the whole working directory from a backup; until then, work that does not need the damaged data continues"},
	{endedDamaged, 13, "restore the whole working directory from a backup"},
	{workdir.Copied, 11, ""},
	{flawless.Invalid, 2, ""},
	{flawless.TooLarge, 2, ""},
	{flawless.Refused, 2, ""},
	{flawless.NotFound, 3, ""}, // see whereToLook,
	{flawless.Conflict, 4, ""},
	{notCompleted, 5, ""},
	{client.Lost, 6, ""},
	{noServer, 6, ""},
	{client.Unreachable, 6, "start a server with: flawless up, or give the address of a running one with --working-dir, or with --socket and --port"},
	{unresolvedRun, 7, ""},
	{flawless.Full, 8, "free some disk space; the server then continues by itself"},
	{flawless.Diverged, 9, ""},
	{flawless.Denied, 10, ""},
	{flawless.Stopping, 6, "wait until the server is up again, then repeat the command"},
}

const (
	notCompleted  flawless.Code = "the run did not complete"
	unresolvedRun flawless.Code = "the run needs a decision"
	storeGivenUp  flawless.Code = "the store was given up"
	endedDamaged  flawless.Code = "the server stopped because its store is damaged"
	noServer      flawless.Code = "no server is running in the directory"
	endedFull     flawless.Code = "the server stopped because the disk is full"
)

const exitHelp = `Exit codes:
  0  done
  1  failed
  2  wrong usage or invalid input
  3  not found: no such module, workflow, run or call
  4  conflict with the current state
  5  the run did not complete
  6  no answer from the server; the message says how to find out what happened
  7  the run needs a decision (flawless workflow resolve)
  8  the disk is full; free some space, and restart the server if it stopped
  9  a replay diverged from the log
  10 access denied: the token or the host name is wrong
  11 the working directory was copied, restored or moved; see up --accept-copy
  12 the server could not write its store and stopped; restart it
  13 the store is damaged; restore it from a backup`

func main() {
	// The library for QUIC prints to standard error that a buffer is small. The server logs it (see Listen), and
	// it is nothing to know for other commands.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run carries out a command line and returns its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	text, notes := &harmless{w: out}, &harmless{w: errs}
	defer text.flush()
	defer notes.flush()
	a := &app{in: in, out: text, errs: notes, binary: out, ctx: ctx}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(text)
	root.SetErr(notes)
	err := checkText(args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err != nil && misused(err.Error()) {
		err = &usageError{"flawless", err}
	}
	if a.client != nil {
		_ = a.client.Close()
	}
	if err == nil {
		return 0
	}
	return a.explain(err)
}

// checkText refuses arguments that are not UTF-8: what they name could be kept only as something else.
// Files may be called what they like.
func checkText(args []string) error {
	for _, arg := range args {
		_, value, _ := strings.Cut(arg, "=")
		if utf8.ValidString(arg) || isFile(arg) || isFile(value) {
			continue
		}
		return &usageError{"flawless", fmt.Errorf("the argument %q is not valid UTF-8: %w", arg, flawless.Invalid)}
	}
	return nil
}

func isFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// misused tells whether a text is one of the command line's parser, which has no type for it.
func misused(text string) bool {
	for _, begin := range []string{"unknown command", "required flag(s)", "at least one of the flags", "if any flags in the group"} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	return false
}

// explain prints an error with a hint, and returns the exit code.
func (a *app) explain(err error) int {
	interrupted := errors.Is(err, context.Canceled)
	if interrupted && !errors.Is(err, client.Lost) {
		return 130
	}
	text := err.Error()
	for _, e := range exitCodes {
		if errors.Is(err, e.code) {
			text = strings.TrimSuffix(text, ": "+string(e.code)) // the class speaks by the exit code
		}
	}
	fmt.Fprintln(a.errs, "flawless:", strings.Replace(text, context.Canceled.Error(), "interrupted", 1))
	if interrupted { // it may have been carried out all the same
		return 130
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(a.errs, "hint: see", usage.command, "--help")
		return 2
	}
	for _, e := range exitCodes {
		if errors.Is(err, e.code) {
			hint := e.hint
			if e.code == flawless.NotFound {
				hint = whereToLook(text)
			}
			if hint != "" {
				fmt.Fprintln(a.errs, "hint:", hint)
			}
			return e.exit
		}
	}
	return 1
}

// usageError is a command line that cannot be understood.
type usageError struct {
	command string
	err     error
}

func (u *usageError) Error() string { return u.err.Error() }

// app is what all commands share.
type app struct {
	in        io.Reader
	out, errs io.Writer // for text, see harmless
	binary    io.Writer // for what is no text; it is where out goes
	dir       string
	named     bool // the working directory was named, by flag or environment
	socket    string
	addressed bool // and so was the server's address
	both      bool // both were named by flags
	portAlone bool // of the address a flag named nothing but the TCP port
	freePort  bool // any port will do for TCP
	port      int
	tcp       bool
	tokenFile string
	json      bool
	client    *client.Client
	ctx       context.Context // of the command
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "flawless",
		Short: "Durable execution: code that survives crashes and restarts",
		Long: `Flawless runs workflows: ordinary functions, compiled to WebAssembly.
Everything a workflow asks of the outside world is logged. After a crash, the
engine runs the function again with the logged answers, so it continues where
it stopped.

` + exitHelp,
		SilenceUsage: true, SilenceErrors: true, Version: flawless.Version,
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages ", "FlagUsagesWrapped 80 "))
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return &usageError{c.CommandPath(), flagError(err)} })
	f := root.PersistentFlags()
	f.StringVar(&a.dir, "working-dir", "", "data directory of the server (default $FLAWLESS_WORKING_DIR or $HOME/.flawless; on Windows %APPDATA%\\.flawless)")
	f.StringVar(&a.socket, "socket", "", "UDP address of the server, for HTTP/3 (default $FLAWLESS_SOCKET, the address in the working directory, or localhost:27288)")
	f.IntVar(&a.port, "port", 0, "TCP port of the server, for HTTP/1.1 and HTTP/2 (default: the port of --socket; with up, 0 picks a free port)")
	f.BoolVar(&a.tcp, "tcp", false, "use HTTP over TCP instead of QUIC")
	f.StringVar(&a.tokenFile, "token-file", "", "file with the API token, for the server and for commands (default: the value of $FLAWLESS_TOKEN)")
	f.BoolVar(&a.json, "json", false, "print JSON")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.defaults(c) }
	module := a.moduleCommand()
	workflow := a.workflowCommand()
	workflow.AddCommand(a.moduleCommand())
	root.AddCommand(a.upCommand(), module, workflow, a.stateCommand(), a.scheduleCommand(), a.secretCommand(), a.limitCommand(), a.hostCommand(), a.storeCommand(), a.newCommand(), a.buildCommand(), a.deployCommand(), a.runCommand(), a.replayCommand(), a.checkCommand(), a.testCommand(), a.versionCommand())
	for _, c := range root.Commands() {
		named(c)
	}
	return root
}

// named refuses empty flags and arguments, and makes errors about arguments name their command.
func named(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := checkFlags(c)
			if err == nil {
				err = check(c, args)
			}
			if at := slices.Index(args, ""); err == nil && at >= 0 {
				err = fmt.Errorf("argument %d is empty (is a shell variable unset?)", at+1)
			}
			if err != nil {
				return &usageError{c.CommandPath(), err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		named(sub)
	}
}

// defaults fills in what the flags do not say: from the environment, and then what is usual. The address of a
// server is looked up in the working directory, where a command needs it.
func (a *app) defaults(c *cobra.Command) error {
	if a.dir == "" {
		a.dir = os.Getenv("FLAWLESS_WORKING_DIR")
	}
	if a.named = a.dir != ""; !a.named {
		var err error
		if a.dir, err = defaultDir(runtime.GOOS, os.Getenv, homeDir); err != nil {
			return err
		}
	}
	if a.socket == "" {
		a.socket = os.Getenv("FLAWLESS_SOCKET")
	}
	port := c.Flags().Changed("port")
	a.addressed, a.freePort = a.socket != "" || port, port && a.port == 0
	if c.Flags().Changed("working-dir") { // a flag beats the environment
		a.addressed = port || c.Flags().Changed("socket")
		a.both = a.addressed
	}
	a.portAlone = port && !c.Flags().Changed("socket")
	switch {
	case a.socket != "":
	case a.freePort:
		a.socket = "localhost:0"
	default:
		a.socket = "localhost:27288"
	}
	return nil
}

// connect returns the client of the server.
func (a *app) connect() (*client.Client, error) {
	if a.client != nil {
		return a.client, nil
	}
	cert := filepath.Join(a.dir, "tls", "cert.pem")
	if _, err := os.Stat(cert); err != nil {
		cert = ""
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	o := client.Options{Socket: a.socket, Port: a.port, Certificate: cert, NoQUIC: a.tcp, Token: token,
		Repeating: func(why error) { fmt.Fprintln(a.errs, "flawless:", why) }}
	if host, _, err := net.SplitHostPort(a.socket); err == nil && a.portAlone && loopback(host) {
		o.NoQUIC = true // over UDP another server of this machine might answer
	}
	if a.both {
		if o.Store, err = a.sameStore(a.ctx, o); err != nil {
			return nil, err
		}
	}
	if !a.addressed {
		if a.client, err = a.find(a.ctx, o); err != nil || a.client != nil {
			return a.client, err
		}
	}
	a.client, err = client.New(o)
	return a.client, err
}

// who is the person at the keyboard, for the log.
func who() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil || name == "" {
		return name
	}
	return name + "@" + host
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version of this command and of the server", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			this := flawless.ThisBuild()
			var server flawless.Build
			var h flawless.Health
			cl, err := a.connect()
			if err == nil {
				server, err = cl.Version(c.Context())
			}
			if err == nil {
				h, err = cl.Health(c.Context())
			}
			if err != nil && !errors.Is(err, client.Unreachable) && !errors.Is(err, noServer) {
				return err
			}
			if a.json {
				about := map[string]any{"command": this, "store": h.Store, "start": h.Start, "origin": h.Origin}
				if server.Version != "" {
					about["server"] = server
				}
				return a.printJSON(about)
			}
			fmt.Fprintln(a.out, "flawless", this)
			fmt.Fprintf(a.out, "formats: store %d, log %d, bundle %d; guest interface %d\n", this.StoreFormat, this.LogFormat, this.BundleFormat, this.GuestInterface)
			if server.Version != "" {
				fmt.Fprintf(a.out, "server %s at %s, over %s\n", server, a.socket, cl.Protocol(c.Context()))
				fmt.Fprintf(a.out, "store %s, start %d\n", h.Store, h.Start)
				if h.Origin != "" {
					fmt.Fprintf(a.out, "a copy of store %s\n", h.Origin)
				}
			}
			return nil
		}}
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
