package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/project"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/internal/guest"
)

func (a *app) deployCommand() *cobra.Command {
	var unknown string
	var none bool
	c := &cobra.Command{Use: "deploy [FILE.wasm|DIR]", Short: "Add a module that declares its own name and version", Args: cobra.MaximumNArgs(1),
		Long: `Adds a module that declares its own name and version, with flawless::module!
of the published crate flawless. A directory (default: the current one) is
built first.`,
		Example: "  flawless deploy\n  flawless deploy target/wasm32-unknown-unknown/release/shop.wasm --on-unknown stop",
		RunE: func(c *cobra.Command, args []string) error {
			if unknown != "tell" && unknown != "stop" {
				return fmt.Errorf("--on-unknown is %q; use tell or stop: %w", unknown, flawless.Invalid)
			}
			file := "."
			if len(args) > 0 {
				file = args[0]
			}
			info, err := os.Stat(file)
			if err != nil {
				return fmt.Errorf("reading the module: %v: %w", err, flawless.Invalid)
			}
			if info.IsDir() {
				if file, err = project.Build(c.Context(), file, "", !none, a.warn); err != nil {
					return err
				}
			}
			bin, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("reading the module: %v: %w", err, flawless.Invalid)
			}
			if unknown == "stop" {
				bin = append(bin, guest.StopSection()...)
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			b := render.NewBar(a.Errs)
			m, added, err := cl.AddModule(c.Context(), "", bin, b.Show)
			b.End()
			switch {
			case errors.Is(err, flawless.Refused):
				return fmt.Errorf("deploying %s: %w; to add a module that declares no name, use: flawless module add NAME %s", file, err, file)
			case err != nil:
				return fmt.Errorf("deploying %s: %w", file, err)
			case a.JSON:
				return a.PrintJSON(map[string]any{"module": m, "added": added})
			case !added:
				fmt.Fprintf(a.Out, "module %s:%s is unchanged: it already has these bytes\n", m.Name, m.Manifest.Version)
			default:
				fmt.Fprintf(a.Out, "deployed %s:%s (%s, %.12s)\n", m.Name, m.Manifest.Version, render.Size(m.Size), m.Digest)
			}
			return nil
		}}
	c.Flags().StringVar(&unknown, "on-unknown", "tell", "what to do if the outcome of a request is unknown: tell (return an error to the code) or stop (the run waits for a decision)")
	c.Flags().BoolVar(&none, "no-source", false, "leave the source files out of a module that is built")
	_ = c.RegisterFlagCompletionFunc("on-unknown", cobra.FixedCompletions([]string{"tell", "stop"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}
