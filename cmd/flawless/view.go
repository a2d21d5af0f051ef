package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) viewCommand() *cobra.Command {
	c := &cobra.Command{Use: "view", Short: "Save questions about runs under a name", Args: cobra.NoArgs, RunE: usage.NeedsCommand,
		Long: `A view is a page with a query, such as the list of runs that failed for one
customer. Views are kept on the server, for all who use it: at most 200.`}
	c.AddCommand(
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List saved views", Args: cobra.NoArgs,
			RunE: a.onServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
				all, err := cl.Views(c.Context())
				if err != nil || a.json {
					return orPrint(a, err, all)
				}
				var rows [][]string
				for _, v := range all {
					rows = append(rows, []string{v.Name, v.Page, v.Query})
				}
				a.table("NAME\tPAGE\tQUERY", rows)
				return nil
			})},
		&cobra.Command{Use: "add NAME PAGE [QUERY]", Short: "Save a view, or replace the one with its name", Args: cobra.RangeArgs(2, 3),
			Example: "  flawless view add 'payments in doubt' runs 'status=unresolved&module=pay'",
			RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				v := flawless.View{Name: args[0], Page: args[1]}
				if len(args) == 3 {
					v.Query = args[2]
				}
				v, err := cl.SetView(c.Context(), v)
				if err != nil || a.json {
					return orPrint(a, err, v)
				}
				fmt.Fprintf(a.out, "view %s is saved\n", v.Name)
				return nil
			})},
		&cobra.Command{Use: "rm NAME", Aliases: []string{"remove"}, Short: "Remove a saved view", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeView,
			RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				if err := cl.RemoveView(c.Context(), args[0]); err != nil || a.json {
					return orPrint(a, err, map[string]string{"removed": args[0]})
				}
				fmt.Fprintf(a.out, "view %s is removed\n", args[0])
				return nil
			})})
	return c
}

func (a *app) completeView(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return complete(a, c, args, (*client.Client).Views, func(v flawless.View) string { return v.Name + "\t" + v.Page })
}
