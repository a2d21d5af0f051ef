package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/local"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/outfile"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) exportCommand() *cobra.Command {
	var file string
	var o client.Export
	c := &cobra.Command{Use: "export ID", Short: "Export a run to a file", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: `Writes a bundle: the log of the run, its module and, if there is one, its
frozen image. The run replays bit for bit on any machine (flawless replay
FILE), and another server can import it (flawless workflow import FILE).

A bundle never contains secrets. With --redact you remove further values:
those in bodies by path, headers and URL parameters by name. Lists and objects
keep their shape.`,
		Example: "  flawless workflow export order-42 -o order-42.bundle --redact '$.card.number' --redact '..token'\n" +
			"  flawless workflow export order-42 --redact header:Authorization --redact query:key",
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			if file == "-" {
				return cl.Export(c.Context(), args[0], o, a.Binary)
			}
			if file == "" {
				file = filepath.Base(args[0]) + ".bundle"
			}
			n, err := outfile.Write(file, func(w io.Writer) error { return cl.Export(c.Context(), args[0], o, w) })
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(map[string]any{"file": file, "size": n})
			}
			fmt.Fprintf(a.Out, "wrote %s (%s)\n", file, render.Size(n))
			return nil
		})}
	f := c.Flags()
	f.StringVarP(&file, "output", "o", "", "output file; - is standard output (default ID.bundle)")
	f.StringArrayVar(&o.Redact, "redact", nil, "value to redact: a path into bodies such as $.card.number, items[*].price or ..token; header:NAME; query:NAME (repeatable)")
	f.BoolVar(&o.LogOnly, "log-only", false, "omit the module and the image; enough for flawless check")
	return c
}

func (a *app) importCommand() *cobra.Command {
	var id string
	c := &cobra.Command{Use: "import FILE", Short: "Import an exported run, to inspect or fork it", Args: cobra.ExactArgs(1),
		Long: `Uploads a bundle to the server. You can inspect, replay, trace and fork the
imported run like any other, but it never continues by itself: a run that had
not ended is imported as terminated.`,
		RunE: func(c *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("reading the bundle: %v: %w", err, flawless.Invalid)
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			r, err := cl.Import(c.Context(), b, id)
			if err != nil || a.JSON {
				return a.OrPrint(err, r)
			}
			fmt.Fprintf(a.Out, "imported run %s (%s)\n", r.ID, r.Status)
			return nil
		}}
	c.Flags().StringVar(&id, "id", "", "id of the imported run (default: its original id)")
	return c
}

func (a *app) replayCommand() *cobra.Command {
	var module string
	var source render.Sources
	c := &cobra.Command{Use: "replay BUNDLE|ID", Short: "Replay an exported run without a server, or a run on the server", Args: cobra.ExactArgs(1),
		Long: `Replays a run from its log, without sending anything. If the argument is a
file, it is an exported run, and it is replayed on this machine without a
server. Otherwise it is the id of a run, which is replayed on the server and
not changed.

With --module (--patch-module on flawless.dev) the log is replayed with other
code. The output then shows log lines that are new, and where the code makes a
call that differs from the log, with both sides.`,
		Example: "  flawless replay order-42.bundle\n  flawless replay wkf_01jd3m9k6ve8drhb3xk4m0n7ta --patch-module=fixed.wasm",
		RunE: func(c *cobra.Command, args []string) error {
			bin, err := local.ReadModule(module)
			if err != nil {
				return err
			}
			replay := a.replayRun
			if info, err := os.Stat(args[0]); err == nil && !info.IsDir() {
				replay = local.Replay
			}
			r, err := replay(c.Context(), args[0], bin)
			if err != nil {
				return err
			}
			return a.printReplay(r, source)
		}}
	f := c.Flags()
	f.StringVar(&module, "module", "", "replay with this module file instead of the run's own module")
	f.StringVar(&module, "patch-module", "", "same as --module")
	source.AddTo(c.Flags())
	c.MarkFlagsMutuallyExclusive("module", "patch-module")
	return c
}

// replayRun replays a run on the server.
func (a *app) replayRun(ctx context.Context, id string, bin []byte) (flawless.Replay, error) {
	cl, err := a.Connect()
	if err != nil {
		return flawless.Replay{}, err
	}
	r, err := cl.Replay(ctx, id, bin)
	if err != nil {
		err = fmt.Errorf("%s is not a file, so it was taken as the id of a run: %w", id, err)
	}
	return r, err
}
