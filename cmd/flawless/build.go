package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/project"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) buildCommand() *cobra.Command {
	var out string
	var none, check bool
	c := &cobra.Command{Use: "build [DIR]", Short: "Compile a project to a WebAssembly module", Args: cobra.MaximumNArgs(1),
		Long: `Compiles the Go, Rust or TypeScript project in a directory (default: the current
one). The module contains the project's own source files as they were compiled,
without dependencies, tests and data, so that the server can show lines of code.
With --no-source it does not. The code that runs is the same.

A TypeScript project is a directory with package.json. Building it needs neither
node nor npm, and does not check types: --check runs the project's tsc first.`,
		RunE: func(c *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if check {
				if err := project.Check(c.Context(), dir); err != nil {
					return err
				}
			}
			var warnings []string
			file, err := project.Build(c.Context(), dir, out, !none, func(w string) { warnings = append(warnings, w) })
			if err != nil {
				return err
			}
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(struct {
					File     string   `json:"file"`
					Size     int64    `json:"size"`
					Warnings []string `json:"warnings,omitempty"`
				}{file, info.Size(), warnings})
			}
			for _, w := range warnings {
				a.warn(w)
			}
			fmt.Fprintf(a.Out, "built %s (%s)\n", file, render.Size(info.Size()))
			return nil
		}}
	c.Flags().StringVarP(&out, "output", "o", "", "output file (default NAME.wasm in the project directory)")
	c.Flags().BoolVar(&check, "check", false, "check the types of a TypeScript project with its own tsc")
	c.Flags().BoolVar(&none, "no-source", false, "leave the source files out of the module")
	return c
}

// warn prints a warning of a build.
func (a *app) warn(text string) { fmt.Fprintln(a.Errs, text) }
