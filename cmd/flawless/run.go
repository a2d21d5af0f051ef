package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/project"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) runCommand() *cobra.Command {
	var input, id, module, dir string
	c := &cobra.Command{Use: "run [MODULE[:VERSION]] WORKFLOW", Short: "Build the project, add the module, start a run and follow its log", Args: cobra.RangeArgs(1, 2),
		Long: `In a project directory: builds the project, adds the module to the server and
starts a run. The log of the run is printed to standard error as it grows, the
output to standard output. With MODULE nothing is built: the run uses the
newest version of that module on the server, or VERSION. Interrupting the
command does not end the run.`,
		Example: "  flawless run checkout --input '{\"card\":\"4711\"}'\n  flawless run shop:0.1.1 checkout --input @order.json",
		RunE: func(c *cobra.Command, args []string) error {
			if file := args[0]; filepath.Ext(file) == ".wasm" {
				name := strings.TrimSuffix(filepath.Base(file), ".wasm")
				return fmt.Errorf("%s is a file, and run takes the name of a workflow or module; add the file first: flawless module add %s %s, then: flawless run %s WORKFLOW: %w",
					file, name, file, name, flawless.Invalid)
			}
			in, err := a.readInput(input)
			if err != nil {
				return err
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			if _, err := cl.Version(c.Context()); err != nil {
				return err
			}
			start := client.Start{Workflow: args[len(args)-1], Input: in, ID: id}
			if len(args) == 2 {
				start.Module, start.Version, _ = strings.Cut(args[0], ":")
			} else if start.Module, err = a.addProject(c.Context(), dir, module); err != nil {
				return err
			}
			r, _, err := cl.Start(c.Context(), start, false)
			if err != nil {
				return withoutInput(in, err)
			}
			fmt.Fprintf(a.Errs, "run %s\n", r.ID)
			p := render.NewLog(a.Errs)
			for rec, err := range cl.Follow(c.Context(), r.ID, 0) {
				if err != nil {
					return errors.Join(err, fmt.Errorf("the run continues; follow it with: flawless workflow log %s --follow", r.ID))
				}
				p.Record(rec)
				for _, e := range rec.Entries {
					if e.Unknown != nil {
						return fmt.Errorf("run %s needs a decision about call %d; see: flawless workflow show %s: %w", r.ID, e.Unknown.Call, r.ID, exit.Unresolved)
					}
				}
			}
			if r, err = cl.Run(c.Context(), r.ID, false); err != nil {
				return err
			}
			if a.JSON {
				if err := a.PrintJSON(r); err != nil {
					return err
				}
			} else if r.Status == flawless.Completed {
				fmt.Fprintln(a.Out, string(r.Output))
			}
			return a.ended(r)
		}}
	f := c.Flags()
	f.StringVar(&input, "input", "", "JSON, @FILE, or - for standard input")
	f.StringVar(&id, "id", "", "id for the run, for example an order number; the same id never starts a second run")
	f.StringVar(&module, "module", "", "name of the module (default: the name of the project)")
	f.StringVar(&dir, "dir", ".", "project directory")
	return c
}

// addProject builds a project and adds its module under a name; empty is the name of the project.
func (a *app) addProject(ctx context.Context, dir, name string) (string, error) {
	file, err := project.Build(ctx, dir, "", true, a.warn)
	if err != nil {
		return "", err
	}
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(file), ".wasm")
	}
	_, _, err = a.addModule(ctx, name, file)
	return name, err
}
