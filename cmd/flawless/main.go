// Command flawless runs a server and talks to one.
//
// It has one file for each command. A command reads its flags, asks the server through package client, and
// prints the answer. What commands share is in the packages below internal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func main() {
	// Keep the QUIC library from printing to standard error if a buffer is small. The server logs that itself, and
	// other commands do not care.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes a command line and returns its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	text, notes := render.NewWriter(out), render.NewWriter(errs)
	defer text.Flush()
	defer notes.Flush()
	a := &app{in: in, out: text, errs: notes, binary: out, ctx: ctx}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(text)
	root.SetErr(notes)
	ran, err := root, checkText(args)
	if err == nil {
		ran, err = root.ExecuteContextC(ctx)
	}
	if wrong := (*exit.UsageError)(nil); err != nil && !errors.As(err, &wrong) {
		if worded := usage.Worded(err); worded != nil {
			err = &exit.UsageError{Command: ran.CommandPath(), Err: worded}
		}
	}
	if a.client != nil {
		_ = a.client.Close()
	}
	if err == nil {
		return 0
	}
	return exit.Explain(a.errs, err)
}

// checkText rejects arguments that are not UTF-8, because a server could not store them unchanged. Names of
// existing files may have any bytes.
func checkText(args []string) error {
	for _, arg := range args {
		_, value, _ := strings.Cut(arg, "=")
		if utf8.ValidString(arg) || isFile(arg) || isFile(value) {
			continue
		}
		return &exit.UsageError{Command: "flawless", Err: fmt.Errorf("the argument %q is not valid UTF-8: %w", arg, flawless.Invalid)}
	}
	return nil
}

func isFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// app holds what all commands share: streams, global flags and the client.
type app struct {
	in        io.Reader
	out, errs io.Writer // for text, see render.Writer
	binary    io.Writer // for bytes, to the same destination as out
	endpoint.Endpoint
	json   bool
	client *client.Client
	ctx    context.Context // of the running command
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "flawless",
		Short: "Durable execution: code that survives crashes and restarts",
		Long: `Flawless runs workflows: ordinary functions, compiled to WebAssembly.
Everything a workflow asks of the outside world is logged. After a crash, the
engine runs the function again with the logged answers, so it continues where
it stopped.

` + exit.Help,
		SilenceUsage: true, SilenceErrors: true, Version: flawless.Version,
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages ", "FlagUsagesWrapped 80 "))
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage.Wrong(c, usage.FlagError(err))
	})
	f := root.PersistentFlags()
	f.StringVar(&a.Dir, "working-dir", "", "data directory of the server (default $FLAWLESS_WORKING_DIR or $HOME/.flawless; on Windows %APPDATA%\\.flawless)")
	f.StringVar(&a.Socket, "socket", "", "UDP address of the server, for HTTP/3 (default $FLAWLESS_SOCKET, the address in the working directory, or localhost:27288)")
	f.Var(flagvalue.NewInt(&a.Port, 0, 0, 65535), "port", "TCP port of the server, for HTTP/1.1 and HTTP/2 (default: the port of --socket; with up, 0 picks a free port)")
	f.BoolVar(&a.TCP, "tcp", false, "use HTTP over TCP instead of QUIC; with up, serve without HTTP/3")
	f.StringVar(&a.TokenFile, "token-file", "", "file with the API token, for the server and for commands (default: the value of $FLAWLESS_TOKEN)")
	f.BoolVar(&a.json, "json", false, "print JSON")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.Resolve(c.Flags().Changed) }
	module := a.moduleCommand()
	workflow := a.workflowCommand()
	workflow.AddCommand(a.moduleCommand())
	root.AddCommand(a.upCommand(), a.openCommand(), module, workflow, a.stateCommand(), a.scheduleCommand(), a.secretCommand(), a.limitCommand(), a.hostCommand(), a.nodeCommand(), a.storeCommand(), a.historyCommand(), a.newCommand(), a.buildCommand(), a.deployCommand(), a.runCommand(), a.replayCommand(), a.checkCommand(), a.testCommand(), a.versionCommand())
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		switch c.Name() { // otherwise these succeed for an unknown shell or command
		case "completion":
			c.RunE = usage.NeedsCommand
		case "help":
			c.Args, c.Run, c.RunE = cobra.ArbitraryArgs, nil, usage.Help
		}
		usage.CheckArgs(c)
	}
	return root
}

// connect returns the client of the server.
func (a *app) connect() (*client.Client, error) {
	if a.client != nil {
		return a.client, nil
	}
	var err error
	a.client, err = a.Endpoint.Connect(a.ctx, func(why error) { fmt.Fprintln(a.errs, "flawless:", why) })
	return a.client, err
}

// onServer returns the action of a command that needs a server.
func (a *app) onServer(do func(c *cobra.Command, cl *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		cl, err := a.connect()
		if err != nil {
			return err
		}
		return do(c, cl, args)
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version of this command and of the server", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			this := flawless.ThisBuild()
			server, h := flawless.Build{}, flawless.Health{}
			cl, err := a.connect()
			if err == nil {
				server, err = cl.Version(c.Context())
			}
			if err == nil {
				h, err = cl.Health(c.Context())
			}
			if err != nil && !errors.Is(err, client.Unreachable) && !errors.Is(err, endpoint.NoServer) {
				return err
			}
			if a.json {
				about := map[string]any{"command": this, "store": h.Store, "start": h.Start, "origin": h.Origin}
				if server.Version != "" {
					about["server"] = server
				}
				return a.printJSON(about)
			}
			reached := ""
			if server.Version != "" {
				reached = fmt.Sprintf("%s at %s, over %s", server, a.Socket, cl.Protocol(c.Context()))
			}
			render.Version(a.out, this, reached, h)
			return nil
		}}
}

// printJSON prints an indented JSON document.
func (a *app) printJSON(v any) error { return render.JSON(a.out, v, "  ") }

// printLine prints a JSON document on one line.
func (a *app) printLine(v any) error { return render.JSON(a.out, v, "") }

// table prints rows in columns.
func (a *app) table(head string, rows [][]string) { render.Table(a.out, head, rows) }
