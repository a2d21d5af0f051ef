package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

func (a *app) nodeCommand() *cobra.Command {
	c := &cobra.Command{Use: "node", Short: "See and drain the servers on one database", Args: cobra.NoArgs, RunE: needsCommand,
		Long: `Servers that were started with the same database (up --store) are nodes of one
cluster. Any of them answers any request.`}
	c.AddCommand(
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the servers on the database", Args: cobra.NoArgs,
			Long: `Lists the servers on the database. Guests and calls are as of the last renewal
of the server's lease, which LEASE AGE tells. A server that ended without
leaving is dead when others have taken over; its row stays for an hour.`,
			RunE: a.onServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
				all, err := cl.Nodes(c.Context())
				if err != nil || a.json {
					return orPrint(a, err, all)
				}
				if len(all) == 0 {
					fmt.Fprintln(a.out, "the server has its store in its working directory, so it is alone")
					return nil
				}
				var rows [][]string
				for _, n := range all {
					rows = append(rows, nodeRow(n))
				}
				a.table("NAME\tADDRESS\tVERSION\tSHARDS\tGUESTS\tCALLS/S\tLEASE AGE\tSTATE", rows)
				return nil
			})},
		a.nodeDrainCommand(),
		&cobra.Command{Use: "undrain NAME", Short: "Have a server that was drained take work again", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeNode,
			RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				n, err := cl.DrainNode(c.Context(), args[0], false)
				if err != nil || a.json {
					return orPrint(a, err, n)
				}
				fmt.Fprintf(a.out, "node %s takes work again\n", n.Name)
				return nil
			})})
	return c
}

// nodeRow returns the row of a node in the list.
func nodeRow(n flawless.NodeStatus) []string {
	age := (time.Duration(n.LeaseAge) * time.Millisecond).Round(time.Second / 10).String()
	state := "ok"
	switch {
	case n.Dead:
		age, state = "-", "dead"
	case n.Draining && n.Shards == 0:
		state = "drained"
	case n.Draining:
		state = "draining"
	}
	return []string{n.Name, n.Address, n.Version, fmt.Sprint(n.Shards), fmt.Sprint(n.Guests), fmt.Sprint(n.Calls), age, state}
}

func (a *app) nodeDrainCommand() *cobra.Command {
	var wait bool
	c := &cobra.Command{Use: "drain NAME", Short: "Have a server give its work to the others", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeNode,
		Long: `Has a server give its shards, and the runs in them, to the others. Calls in
flight are waited for as long as they last; no run becomes unresolved. The
server stays up and passes requests on. It takes work again after node undrain,
or when it is restarted. Stopping a server (SIGTERM) drains it, too.`,
		Example: "  flawless node drain a --wait",
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			n, err := cl.DrainNode(c.Context(), args[0], true)
			if err != nil || !wait {
				if err != nil || a.json {
					return orPrint(a, err, n)
				}
				fmt.Fprintf(a.out, "node %s gives its %d shards to the others\n", n.Name, n.Shards)
				return nil
			}
			return a.waitDrained(c, cl, n)
		})}
	c.Flags().BoolVar(&wait, "wait", false, "wait until the server owns no shards any more")
	return c
}

// waitDrained waits until a node owns no shards, and shows how many are left.
func (a *app) waitDrained(c *cobra.Command, cl *client.Client, n flawless.NodeStatus) error {
	left := -1
	for {
		all, err := cl.Nodes(c.Context())
		if err != nil {
			return err
		}
		i := 0
		for i < len(all) && all[i].ID != n.ID {
			i++
		}
		switch {
		case i == len(all) || all[i].Dead:
			return fmt.Errorf("node %s has ended before it was drained; others take over its shards: %w", n.Name, flawless.Conflict)
		case !all[i].Draining:
			return fmt.Errorf("node %s is not drained any more: somebody has undone it: %w", n.Name, flawless.Conflict)
		case all[i].Shards == 0:
			if a.json {
				return a.printJSON(all[i])
			}
			fmt.Fprintf(a.out, "node %s is drained\n", n.Name)
			return nil
		case all[i].Shards != left && !a.json:
			left = all[i].Shards
			fmt.Fprintf(a.errs, "node %s: %d shards left\n", n.Name, left)
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-c.Context().Done():
			return c.Context().Err()
		}
	}
}

func (a *app) completeNode(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
	ctx, cancel := a.completionContext(c)
	defer cancel()
	if cl, err := a.connect(); err == nil && len(args) == 0 {
		all, _ := cl.Nodes(ctx)
		for _, n := range all {
			if !n.Dead {
				out = append(out, n.Name+"\t"+n.Address)
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
