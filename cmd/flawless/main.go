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
	"github.com/flawless-engine/flawless/cmd/flawless/internal/operate"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
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
	a := &app{&terminal.Terminal{In: in, Out: text, Errs: notes, Binary: out, Ctx: ctx}}
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
	a.Close()
	if err == nil {
		return 0
	}
	return exit.Explain(a.Errs, err)
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

// app has the commands.
type app struct{ *terminal.Terminal }

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
	f.BoolVar(&a.JSON, "json", false, "print JSON")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.Resolve(c.Flags().Changed) }
	module := a.moduleCommand()
	workflow := a.workflowCommand()
	workflow.AddCommand(a.moduleCommand())
	root.AddCommand(operate.Commands(a.Terminal)...)
	root.AddCommand(a.upCommand(), a.openCommand(), module, workflow, a.scheduleCommand(), a.newCommand(), a.buildCommand(), a.deployCommand(), a.runCommand(), a.replayCommand(), a.checkCommand(), a.testCommand(), a.versionCommand())
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

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version of this command and of the server", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			this := flawless.ThisBuild()
			server, h := flawless.Build{}, flawless.Health{}
			cl, err := a.Connect()
			if err == nil {
				server, err = cl.Version(c.Context())
			}
			if err == nil {
				h, err = cl.Health(c.Context())
			}
			if err != nil && !errors.Is(err, client.Unreachable) && !errors.Is(err, endpoint.NoServer) {
				return err
			}
			if a.JSON {
				about := map[string]any{"command": this, "store": h.Store, "start": h.Start, "origin": h.Origin}
				if server.Version != "" {
					about["server"] = server
				}
				return a.PrintJSON(about)
			}
			reached := ""
			if server.Version != "" {
				reached = fmt.Sprintf("%s at %s, over %s", server, a.Socket, cl.Protocol(c.Context()))
			}
			render.Version(a.Out, this, reached, h)
			return nil
		}}
}
