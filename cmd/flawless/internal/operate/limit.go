package operate

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) limitCommand() *cobra.Command {
	c := &cobra.Command{Use: "limit", Short: "Limit the rate of calls to a host", Args: cobra.NoArgs, RunE: usage.NeedsCommand,
		Long: `Limits the rate at which HTTP calls to a host begin, over all runs together.
Calls above the limit wait, even across restarts of the server. Permits are
shared fairly among runs, so one run with many calls does not block the
others.`}
	c.AddCommand(a.limitSetCommand(),
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List rate limits and the number of waiting calls", Args: cobra.NoArgs,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
				all, err := cl.Limits(c.Context())
				if err != nil || a.JSON {
					return a.OrPrint(err, all)
				}
				var rows [][]string
				for _, l := range all {
					rows = append(rows, []string{l.Host, l.Rate(), fmt.Sprint(l.Burst), fmt.Sprint(l.Waiting)})
				}
				a.Table("HOST\tRATE\tBURST\tWAITING", rows)
				return nil
			})},
		&cobra.Command{Use: "rm HOST", Short: "Remove a rate limit; waiting calls begin at once", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeLimit,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				if err := cl.RemoveLimit(c.Context(), args[0]); err != nil || a.JSON {
					return a.OrPrint(err, map[string]string{"removed": args[0]})
				}
				fmt.Fprintf(a.Out, "calls to %s are no longer limited\n", args[0])
				return nil
			})})
	return c
}

func (a *app) limitSetCommand() *cobra.Command {
	var burst int
	c := &cobra.Command{Use: "set HOST RATE", Short: "Set the rate limit of a host", Args: cobra.ExactArgs(2),
		Example: "  flawless limit set api.example.com 10/s\n  flawless limit set api.example.com:8443 5000/h --burst 100",
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			l, err := cl.SetLimit(c.Context(), args[0], args[1], burst)
			if err != nil || a.JSON {
				return a.OrPrint(err, l)
			}
			fmt.Fprintf(a.Out, "limit: %s calls to %s\n", l.Rate(), l.Host)
			return nil
		})}
	c.Flags().Var(flagvalue.NewInt(&burst, 0, 1, flawless.MaxRate), "burst", "calls that may begin at once after an idle period (default 1)")
	return c
}

func (a *app) completeLimit(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return terminal.Complete(a.Terminal, c, args, (*client.Client).Limits, func(l flawless.Limit) string { return l.Host + "\t" + l.Rate() })
}
