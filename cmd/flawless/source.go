package main

import (
	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

// sourceFlags adds the flags for the source directories that a divergence is shown with.
func sourceFlags(c *cobra.Command, s *render.Sources) {
	c.Flags().StringVar(&s.Asked, "source", ".", "source directory of the new code, to show the lines that differ")
	c.Flags().StringVar(&s.Logged, "logged-source", "", "source directory of the code that the run was logged with, to show its lines as well")
}
