package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
)

func (a *app) deployCommand() *cobra.Command {
	var unknown string
	c := &cobra.Command{Use: "deploy [FILE.wasm|DIR]", Short: "Add a module of the crate flawless under its own name and version", Args: cobra.MaximumNArgs(1),
		Long: "Adds a module that says its own name and version, by flawless::module! of the published crate flawless. A folder (the\n" +
			"current one by default) is built first.",
		Example: "  flawless deploy\n  flawless deploy target/wasm32-unknown-unknown/release/shop.wasm --on-unknown stop",
		RunE: func(c *cobra.Command, args []string) error {
			if unknown != "tell" && unknown != "stop" {
				return fmt.Errorf("--on-unknown is %q, give tell or stop: %w", unknown, flawless.Invalid)
			}
			file := "."
			if len(args) > 0 {
				file = args[0]
			}
			info, err := os.Stat(file)
			if err != nil {
				return fmt.Errorf("%v: %w", err, flawless.NotFound)
			}
			if info.IsDir() {
				if file, err = build(c.Context(), file, "", a.warn); err != nil {
					return err
				}
			}
			bin, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("reading the module: %w", err)
			}
			if unknown == "stop" {
				bin = append(bin, guest.StopSection()...)
			}
			cl, err := a.connect()
			if err != nil {
				return err
			}
			b := newBar(a.errs)
			m, added, err := cl.AddModule(c.Context(), "", bin, b.show)
			b.end()
			switch {
			case errors.Is(err, flawless.Refused):
				return fmt.Errorf("deploying %s: %w; a module without a name of its own is added with: flawless module add NAME %s", file, err, file)
			case err != nil:
				return fmt.Errorf("deploying %s: %w", file, err)
			case a.json:
				return a.printJSON(map[string]any{"module": m, "added": added})
			case !added:
				fmt.Fprintf(a.out, "module %s:%s has these bytes already\n", m.Name, m.Manifest.Version)
			default:
				fmt.Fprintf(a.out, "deployed %s:%s (%s, %.12s)\n", m.Name, m.Manifest.Version, size(m.Size), m.Digest)
			}
			return nil
		}}
	c.Flags().StringVar(&unknown, "on-unknown", "tell", "when nobody can know whether a request took effect: tell the code, or stop the run until a person decides")
	_ = c.RegisterFlagCompletionFunc("on-unknown", cobra.FixedCompletions([]string{"tell", "stop"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}
