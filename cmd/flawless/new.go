package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/project"
)

func (a *app) newCommand() *cobra.Command {
	var lang string
	var copied bool
	c := &cobra.Command{Use: "new NAME", Short: "Create a project that builds and runs", Args: cobra.ExactArgs(1),
		Long: `Creates a directory NAME with a workflow in Go, Rust or TypeScript. In Go and
Rust it has a test for it.

A Go project requires the SDK of this release. It gets a copy of the SDK in
third_party/flawless instead, and builds without a network, if the SDK cannot
be downloaded, if this command is not a release, or with --copy-sdk. A Rust
project always gets a copy; it needs the target wasm32-wasip1 and crates.io.
A TypeScript project gets the types of the SDK; it needs nothing else, neither
node nor npm.`,
		Example: "  flawless new shop\n  flawless new shop --lang rust\n  flawless new shop --lang ts",
		RunE: func(c *cobra.Command, args []string) error {
			name := filepath.Base(args[0])
			if err := project.CheckName(name); err != nil {
				return err
			}
			if _, err := os.Stat(args[0]); err == nil {
				return fmt.Errorf("%s already exists and is not overwritten; choose another name: %w", args[0], flawless.Conflict)
			}
			p := project.Project{Dir: args[0], Name: name}
			if build := flawless.ThisBuild(); lang == "go" && !copied && build.Released() {
				p.Release = "v" + build.Version
			}
			if err := p.Write(c.Context(), lang); err != nil {
				return err
			}
			if p.Missing != nil {
				fmt.Fprintln(a.Errs, p.Missing)
			}
			if a.JSON {
				return a.PrintJSON(map[string]string{"dir": args[0], "sdk": cmp.Or(p.Release, "copy")})
			}
			fmt.Fprintf(a.Out, "created %s; next steps:\n  cd %s\n  flawless run %s --input '{\"name\":\"Ann\"}'\n", args[0], args[0], name)
			return nil
		}}
	c.Flags().StringVar(&lang, "lang", "go", "language: go, rust or ts")
	c.Flags().BoolVar(&copied, "copy-sdk", false, "include a copy of the SDK instead of requiring its release")
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"go", "rust", "ts"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}
