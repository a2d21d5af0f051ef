package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) promiseCommand() *cobra.Command {
	c := &cobra.Command{Use: "promise", Short: "List and settle promises: answers that runs wait for from outside", Args: cobra.NoArgs, RunE: usage.NeedsCommand}
	c.AddCommand(a.promiseListCommand(), a.promiseSettleCommand())
	return c
}

func (a *app) promiseListCommand() *cobra.Command {
	return &cobra.Command{Use: "list ID", Aliases: []string{"ls"}, Short: "List the open promises of a run", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			all, err := cl.Promises(c.Context(), args[0])
			if err != nil || a.JSON {
				return a.OrPrint(err, all)
			}
			var rows [][]string
			for _, p := range all {
				expires := "never"
				if p.Expires != nil {
					expires = render.Time(*p.Expires)
				}
				rows = append(rows, []string{p.Name, render.Time(p.Made), expires, p.Token})
			}
			a.Table("NAME\tMADE\tEXPIRES\tTOKEN", rows)
			return nil
		})}
}

func (a *app) promiseSettleCommand() *cobra.Command {
	var reject string
	c := &cobra.Command{Use: "settle TOKEN [JSON|@FILE|-]", Short: "Settle a promise with a value, or with an error", Args: cobra.RangeArgs(1, 2),
		Long: `A promise can be settled once. A later attempt fails, and shows the value that
it was settled with.`,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			var p flawless.Promise
			var err error
			switch {
			case c.Flags().Changed("error") && len(args) == 2:
				return fmt.Errorf("give either a value or --error, not both: %w", flawless.Invalid)
			case c.Flags().Changed("error"):
				p, err = cl.Reject(c.Context(), args[0], reject, endpoint.Who())
			default:
				value := "null"
				if len(args) == 2 {
					value = args[1]
				}
				b, wrong := a.readInput(value)
				if wrong != nil {
					return wrong
				}
				p, err = cl.Settle(c.Context(), args[0], b)
			}
			if err != nil || a.JSON {
				return a.OrPrint(err, p)
			}
			fmt.Fprintf(a.Out, "settled promise %s of run %s\n", p.Name, p.Run)
			return nil
		})}
	c.Flags().StringVar(&reject, "error", "", "reject the promise with this error")
	return c
}
