package operate

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) nodeCommand() *cobra.Command {
	c := &cobra.Command{Use: "node", Short: "See and drain the servers on one database", Args: cobra.NoArgs, RunE: usage.NeedsCommand,
		Long: `Servers that were started with the same database (up --store) are nodes of one
cluster. Any of them answers any request.`}
	c.AddCommand(
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the servers on the database", Args: cobra.NoArgs,
			Long: `Lists the servers on the database. Guests and calls are as of the last renewal
of the server's lease, which LEASE AGE tells. A server that ended without
leaving is dead when others have taken over; its row stays for an hour.`,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
				all, err := cl.Nodes(c.Context())
				switch {
				case err != nil || a.JSON:
					return a.OrPrint(err, all)
				case len(all) == 0:
					fmt.Fprintln(a.Out, "the server has its store in its working directory, so it is alone")
				default:
					a.Table(render.Nodes(all))
				}
				return nil
			})},
		a.nodeDrainCommand(),
		&cobra.Command{Use: "undrain NAME", Short: "Have a server that was drained take work again", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeNode,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				n, err := cl.DrainNode(c.Context(), args[0], false)
				if err != nil || a.JSON {
					return a.OrPrint(err, n)
				}
				fmt.Fprintf(a.Out, "node %s takes work again\n", n.Name)
				return nil
			})})
	return c
}

func (a *app) nodeDrainCommand() *cobra.Command {
	var wait bool
	c := &cobra.Command{Use: "drain NAME", Short: "Have a server give its work to the others", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeNode,
		Long: `Has a server give its shards, and the runs in them, to the others. Calls in
flight are waited for as long as they last; no run becomes unresolved. The
server stays up and passes requests on. It takes work again after node undrain,
or when it is restarted. Stopping a server (SIGTERM) drains it, too.`,
		Example: "  flawless node drain a --wait",
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			n, err := cl.DrainNode(c.Context(), args[0], true)
			if err == nil && wait {
				n, err = cl.Drained(c.Context(), n.ID, func(left int) { fmt.Fprintf(a.Errs, "node %s: %d shards left\n", n.Name, left) })
			}
			switch {
			case err != nil || a.JSON:
				return a.OrPrint(err, n)
			case wait:
				fmt.Fprintf(a.Out, "node %s is drained\n", n.Name)
			default:
				fmt.Fprintf(a.Out, "node %s gives its %d shards to the others\n", n.Name, n.Shards)
			}
			return nil
		})}
	c.Flags().BoolVar(&wait, "wait", false, "wait until the server owns no shards any more")
	return c
}

func (a *app) completeNode(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return terminal.Complete(a.Terminal, c, args, (*client.Client).Nodes, func(n flawless.NodeStatus) string { return n.Name + "\t" + n.Address })
}
