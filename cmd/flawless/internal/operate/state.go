package operate

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) stateCommand() *cobra.Command {
	c := &cobra.Command{Use: "state", Short: "Inspect the state that runs share", Args: cobra.NoArgs, RunE: usage.NeedsCommand}
	c.AddCommand(a.stateListCommand(), a.stateShowCommand())
	return c
}

func (a *app) stateListCommand() *cobra.Command {
	var from string
	var limit int
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List shared states, who holds each and how many runs wait", Args: cobra.NoArgs,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
			all, next, err := cl.States(c.Context(), from, limit)
			if err != nil || a.JSON {
				return a.OrPrint(err, map[string]any{"states": all, "next": next})
			}
			var rows [][]string
			for _, s := range all {
				holder := ""
				if s.Holder != nil {
					holder = s.Holder.Run
				}
				rows = append(rows, []string{s.Name, holder, fmt.Sprint(len(s.Queue)), render.Shorten(string(s.Value), 60)})
			}
			a.Table("NAME\tHELD BY\tWAITING\tVALUE", rows)
			if next != "" {
				fmt.Fprintf(a.Errs, "there are more; continue with --from %s\n", next)
			}
			return nil
		})}
	c.Flags().StringVar(&from, "from", "", "start the list at this name")
	c.Flags().Var(flagvalue.NewInt(&limit, 100, 1, 1000), "limit", "maximum number to list, up to 1000")
	return c
}

func (a *app) stateShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "Show a shared state, who holds it and who waits for it", Args: cobra.ExactArgs(1),
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			s, err := cl.State(c.Context(), args[0])
			if err != nil || a.JSON {
				return a.OrPrint(err, s)
			}
			fmt.Fprintf(a.Out, "state    %s\nvalue    %s\n", s.Name, string(s.Value))
			if s.Holder != nil {
				fmt.Fprintf(a.Out, "held by  run %s, call %d\n", s.Holder.Run, s.Holder.Call)
			}
			for _, w := range s.Queue {
				fmt.Fprintf(a.Out, "waiting  run %s, call %d\n", w.Run, w.Call)
			}
			return nil
		})}
}
