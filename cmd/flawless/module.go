package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagset"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) moduleCommand() *cobra.Command {
	c := &cobra.Command{Use: "module", Short: "Add, list, upgrade and remove modules", Args: cobra.NoArgs, RunE: usage.NeedsCommand}
	c.AddCommand(a.upgradeCommand(), a.removeModuleCommand(), a.moduleAddCommand(), a.moduleSetCommand(), a.moduleSourceCommand(),
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List modules", Args: cobra.NoArgs,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
				all, err := cl.Modules(c.Context())
				if err != nil || a.JSON {
					return a.OrPrint(err, all)
				}
				var rows [][]string
				for _, m := range all {
					rows = append(rows, []string{m.Name, fmt.Sprint(m.Version), fmt.Sprint(len(m.Manifest.Workflows)), render.Size(m.Size), render.Time(m.Added), fmt.Sprintf("%.12s", m.Digest)})
				}
				a.Table("NAME\tVERSION\tWORKFLOWS\tSIZE\tADDED\tDIGEST", rows)
				return nil
			})},
		&cobra.Command{Use: "show NAME", Short: "Show the versions and workflows of a module", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteModule,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				all, err := cl.Module(c.Context(), args[0])
				if err != nil || a.JSON {
					return a.OrPrint(err, all)
				}
				render.Module(a.Out, all, a.settings(c.Context(), args[0]))
				return nil
			})})
	return c
}

func (a *app) moduleAddCommand() *cobra.Command {
	var flags flagset.Settings
	c := &cobra.Command{Use: "add NAME FILE.wasm", Short: "Add a module, or a new version of it", Args: cobra.ExactArgs(2),
		Long: `Adds a module under a name. If the name exists, this adds a new version: new
runs use it, open runs stay on theirs.

--retention, --concurrency, --retry-for and --keep-turns apply to all
versions. Settings that you do not give stay as they are.

` +
			keepTurnsHelp,
		RunE: func(c *cobra.Command, args []string) error {
			m, added, err := a.addModule(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			cl, err := a.Connect()
			if err == nil {
				_, err = a.changeSettings(c, cl, args[0], &flags)
			}
			if err != nil || a.JSON {
				return a.OrPrint(err, map[string]any{"module": m, "added": added})
			}
			if !added {
				fmt.Fprintf(a.Out, "module %s is unchanged: version %d already has these bytes\n", m.Name, m.Version)
				return nil
			}
			fmt.Fprintf(a.Out, "added module %s, version %d (%s, %.12s)\n", m.Name, m.Version, render.Size(m.Size), m.Digest)
			for _, w := range m.Manifest.Workflows {
				fmt.Fprintf(a.Out, "  workflow %s  %s\n", w.Name, w.Doc)
			}
			return nil
		}}
	flags.AddTo(c)
	return c
}

func (a *app) moduleSourceCommand() *cobra.Command {
	var of client.SourceOf
	c := &cobra.Command{Use: "source NAME [FILE]", Short: "List the source files in a module, or print one", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: a.CompleteModule,
		Long: `Lists the source files that flawless build has put into a module, or prints one
of them. FILE is its name in the list, or the end of it if no other file ends
so: a call site such as shop/main.go will do.`,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			if len(args) > 1 {
				of.File = args[1]
			}
			s, err := cl.Source(c.Context(), args[0], of)
			if err != nil || a.JSON {
				return a.OrPrint(err, s)
			}
			render.Source(a.Out, a.Errs, args[0], s, of.File != "")
			return nil
		})}
	c.Flags().Var(flagvalue.NewInt(&of.Version, 0, 1, flagvalue.MaxInt), "version", "version of the module (default: the newest)")
	return c
}

// addModule uploads a file and shows the progress.
func (a *app) addModule(ctx context.Context, name, file string) (flawless.Module, bool, error) {
	bin, err := os.ReadFile(file)
	if err != nil {
		return flawless.Module{}, false, fmt.Errorf("reading the module: %v: %w", err, flawless.Invalid)
	}
	cl, err := a.Connect()
	if err != nil {
		return flawless.Module{}, false, err
	}
	b := render.NewBar(a.Errs)
	defer b.End()
	return cl.AddModule(ctx, name, bin, b.Show)
}
