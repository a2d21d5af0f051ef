package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

func (a *app) runCommand() *cobra.Command {
	var input, id, module, dir string
	c := &cobra.Command{Use: "run WORKFLOW", Short: "Build the project, add it, start a run and follow it", Args: cobra.ExactArgs(1),
		Long: "In a project's folder: builds it, adds the module to the server, starts a run, prints its log to standard error as it\n" +
			"grows, and its output to standard output. Interrupting the command does not end the run.",
		RunE: func(c *cobra.Command, args []string) error {
			in, err := a.readInput(input)
			if err != nil {
				return err
			}
			cl, err := a.connect()
			if err != nil {
				return err
			}
			if _, err := cl.Version(c.Context()); err != nil {
				return err
			}
			file, err := build(c.Context(), dir, "")
			if err != nil {
				return err
			}
			if module == "" {
				module = projectOf(dir)
			}
			if _, _, err := a.addModule(c.Context(), module, file); err != nil {
				return err
			}
			r, _, err := cl.Start(c.Context(), client.Start{Module: module, Workflow: args[0], Input: in, ID: id}, false)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.errs, "run %s\n", r.ID)
			p := newStory(a.errs)
			for rec, err := range cl.Follow(c.Context(), r.ID, 0) {
				if err != nil {
					return errors.Join(err, fmt.Errorf("the run goes on; see: flawless workflow log %s --follow", r.ID))
				}
				p.record(rec)
				for _, e := range rec.Entries {
					if e.Unknown != nil {
						return fmt.Errorf("run %s, call %d: see: flawless workflow show %s: %w", r.ID, e.Unknown.Call, r.ID, unresolvedRun)
					}
				}
			}
			if r, err = cl.Run(c.Context(), r.ID, false); err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(r); err != nil {
					return err
				}
			} else if r.Status == flawless.Completed {
				fmt.Fprintln(a.out, string(r.Output))
			}
			return ended(r)
		}}
	f := c.Flags()
	f.StringVar(&input, "input", "", "JSON, @FILE, or - for standard input")
	f.StringVar(&id, "id", "", "your own key for the run")
	f.StringVar(&module, "module", "", "name of the module (default the project's)")
	f.StringVar(&dir, "dir", ".", "the project's folder")
	return c
}
