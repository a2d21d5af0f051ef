package terminal

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// CompletionContext returns a context for completion, which asks the server. If that does not answer in time, there are no
// completions.
func (t *Terminal) CompletionContext(c *cobra.Command) (context.Context, context.CancelFunc) {
	_ = t.Resolve(c.Flags().Changed)
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithTimeout(ctx, time.Second)
}

// Complete completes the first argument with what a server lists.
func Complete[T any](t *Terminal, c *cobra.Command, args []string, list func(*client.Client, context.Context) ([]T, error), text func(T) string) (out []string, _ cobra.ShellCompDirective) {
	ctx, cancel := t.CompletionContext(c)
	defer cancel()
	if cl, err := t.Connect(); err == nil && len(args) == 0 {
		all, _ := list(cl, ctx)
		for _, v := range all {
			out = append(out, text(v))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// CompleteModule completes names of modules.
func (t *Terminal) CompleteModule(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return Complete(t, c, args, (*client.Client).Modules, func(m flawless.Module) string { return m.Name })
}

// CompleteWorkflow completes the name of a module, and then that of one of its workflows.
func (t *Terminal) CompleteWorkflow(c *cobra.Command, args []string, prefix string) (out []string, d cobra.ShellCompDirective) {
	if len(args) != 1 {
		return t.CompleteModule(c, args, prefix)
	}
	ctx, cancel := t.CompletionContext(c)
	defer cancel()
	if cl, err := t.Connect(); err == nil {
		versions, _ := cl.Module(ctx, args[0])
		for _, m := range versions[:min(1, len(versions))] {
			for _, w := range m.Manifest.Workflows {
				out = append(out, w.Name)
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// CompleteRun completes ids of the newest runs.
func (t *Terminal) CompleteRun(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	newest := func(cl *client.Client, ctx context.Context) ([]flawless.Run, error) {
		runs, _, err := cl.Runs(ctx, flawless.Filter{Limit: 50})
		return runs, err
	}
	return Complete(t, c, args, newest, func(r flawless.Run) string {
		return r.ID + "\t" + r.Module + "/" + r.Workflow + ", " + string(r.Status)
	})
}
