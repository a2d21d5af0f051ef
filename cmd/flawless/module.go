package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
)

func (a *app) moduleCommand() *cobra.Command {
	c := &cobra.Command{Use: "module", Short: "Add, list, upgrade and remove modules", Args: cobra.NoArgs, RunE: needsCommand}
	c.AddCommand(a.upgradeCommand(), a.removeModuleCommand(), a.moduleAddCommand(), a.moduleSetCommand(),
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List modules", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				cl, err := a.connect()
				if err != nil {
					return err
				}
				all, err := cl.Modules(c.Context())
				if err != nil || a.json {
					return orPrint(a, err, all)
				}
				var rows [][]string
				for _, m := range all {
					rows = append(rows, []string{m.Name, fmt.Sprint(m.Version), fmt.Sprint(len(m.Manifest.Workflows)), size(m.Size), ago(m.Added), fmt.Sprintf("%.12s", m.Digest)})
				}
				a.table("NAME\tVERSION\tWORKFLOWS\tSIZE\tADDED\tDIGEST", rows)
				return nil
			}},
		&cobra.Command{Use: "show NAME", Short: "Show the versions and workflows of a module", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeModule,
			RunE: func(c *cobra.Command, args []string) error {
				cl, err := a.connect()
				if err != nil {
					return err
				}
				all, err := cl.Module(c.Context(), args[0])
				if err != nil || a.json {
					return orPrint(a, err, all)
				}
				a.showModule(all, a.settings(c.Context(), args[0]))
				return nil
			}})
	return c
}

func (a *app) moduleAddCommand() *cobra.Command {
	var flags settingsFlags
	c := &cobra.Command{Use: "add NAME FILE.wasm", Short: "Add a module, or a new version of it", Args: cobra.ExactArgs(2),
		Long: `Adds a module under a name. If the name exists, this adds a new version: new
runs use it, open runs stay on theirs.

--retention, --concurrency, --retry-for and --keep-turns apply to all
versions. Settings that you do not give stay as they are.

` +
			keepTurnsHelp,
		RunE: func(c *cobra.Command, args []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			m, added, err := a.addModule(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			cl, err := a.connect()
			if err == nil {
				_, err = a.changeSettings(c, cl, args[0], &flags)
			}
			if err != nil || a.json {
				return orPrint(a, err, map[string]any{"module": m, "added": added})
			}
			if !added {
				fmt.Fprintf(a.out, "module %s is unchanged: version %d already has these bytes\n", m.Name, m.Version)
				return nil
			}
			fmt.Fprintf(a.out, "added module %s, version %d (%s, %.12s)\n", m.Name, m.Version, size(m.Size), m.Digest)
			for _, w := range m.Manifest.Workflows {
				fmt.Fprintf(a.out, "  workflow %s  %s\n", w.Name, w.Doc)
			}
			return nil
		}}
	flags.add(c)
	return c
}

func needsCommand(c *cobra.Command, _ []string) error {
	return &usageError{c.CommandPath(), fmt.Errorf("%s needs a subcommand", c.CommandPath())}
}

func orPrint(a *app, err error, v any) error {
	if err != nil {
		return err
	}
	return a.printJSON(v)
}

// addModule uploads a file and shows how it goes.
func (a *app) addModule(ctx context.Context, name, file string) (flawless.Module, bool, error) {
	bin, err := os.ReadFile(file)
	if err != nil {
		return flawless.Module{}, false, fmt.Errorf("reading the module: %v: %w", err, flawless.NotFound)
	}
	cl, err := a.connect()
	if err != nil {
		return flawless.Module{}, false, err
	}
	b := newBar(a.errs)
	defer b.end()
	return cl.AddModule(ctx, name, bin, b.show)
}

func (a *app) showModule(versions []flawless.Module, settings string) {
	m := versions[0]
	fmt.Fprintf(a.out, "module   %s\nversion  %d, added %s\ndigest   %s\nsize     %s\nsdk      %s\n", m.Name, m.Version, ago(m.Added), m.Digest, size(m.Size), m.Manifest.SDK)
	fmt.Fprintf(a.out, "settings %s\n", settings)
	switch m.Initialised {
	case flawless.Once:
		fmt.Fprintln(a.out, "starts   fast: from an image that was initialised once")
	case flawless.PerRun:
		fmt.Fprintln(a.out, "starts   slowly: initialised for every run, because its random number generators were not found in the image")
	}
	for _, k := range m.Manifest.Keys {
		fmt.Fprintf(a.out, "keys     %s honours an Idempotency-Key for %s, unless flawless host set overrides it\n", k.Host, k.Within())
	}
	for _, w := range m.Manifest.Workflows {
		fmt.Fprintf(a.out, "\nworkflow %s\n", w.Name)
		if w.Doc != "" {
			fmt.Fprintf(a.out, "  %s\n", w.Doc)
		}
		for _, s := range []struct {
			of     string
			schema json.RawMessage
		}{{"input ", w.Input}, {"output", w.Output}} {
			if len(s.schema) > 0 {
				fmt.Fprintf(a.out, "  %s %s\n", s.of, s.schema)
			}
		}
	}
	if len(versions) > 1 {
		fmt.Fprintln(a.out)
		var rows [][]string
		for _, v := range versions[1:] {
			rows = append(rows, []string{fmt.Sprint(v.Version), ago(v.Added), size(v.Size), fmt.Sprintf("%.12s", v.Digest)})
		}
		a.table("EARLIER\tADDED\tSIZE\tDIGEST", rows)
	}
}
