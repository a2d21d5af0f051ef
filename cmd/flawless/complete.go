package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
)

// brief returns a context for completion, which asks the server. If that does not answer in time, there are no
// completions.
func (a *app) brief(c *cobra.Command) (context.Context, context.CancelFunc) {
	_ = a.Resolve(c.Flags().Changed)
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithTimeout(ctx, time.Second)
}

func (a *app) completeModule(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
	ctx, cancel := a.brief(c)
	defer cancel()
	if cl, err := a.connect(); err == nil && len(args) == 0 {
		all, _ := cl.Modules(ctx)
		for _, m := range all {
			out = append(out, m.Name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeWorkflow(c *cobra.Command, args []string, prefix string) (out []string, d cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeModule(c, args, prefix)
	}
	ctx, cancel := a.brief(c)
	defer cancel()
	if cl, err := a.connect(); err == nil {
		versions, _ := cl.Module(ctx, args[0])
		for _, m := range versions[:min(1, len(versions))] {
			for _, w := range m.Manifest.Workflows {
				out = append(out, w.Name)
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeRun(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
	ctx, cancel := a.brief(c)
	defer cancel()
	if cl, err := a.connect(); err == nil && len(args) == 0 {
		runs, _, _ := cl.Runs(ctx, flawless.Filter{Limit: 50})
		for _, r := range runs {
			out = append(out, r.ID+"\t"+r.Module+"/"+r.Workflow+", "+string(r.Status))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
