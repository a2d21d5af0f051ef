package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) limitCommand() *cobra.Command {
	c := &cobra.Command{Use: "limit", Short: "Limit the calls towards a host", Args: cobra.NoArgs, RunE: needsCommand,
		Long: "Limits how many http calls begin towards a host in a time, of all runs together. A call beyond that waits, also over\n" +
			"restarts of the server; runs take turns, so that one with many calls does not keep the others waiting."}
	c.AddCommand(a.limitSetCommand(),
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List limits, and how many calls wait", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				cl, err := a.connect()
				if err != nil {
					return err
				}
				all, err := cl.Limits(c.Context())
				if err != nil || a.json {
					return orPrint(a, err, all)
				}
				var rows [][]string
				for _, l := range all {
					rows = append(rows, []string{l.Host, l.Rate(), fmt.Sprint(l.Burst), fmt.Sprint(l.Waiting)})
				}
				a.table("HOST\tRATE\tBURST\tWAITING", rows)
				return nil
			}},
		&cobra.Command{Use: "rm HOST", Short: "Remove a limit; calls that wait begin at once", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeLimit,
			RunE: func(c *cobra.Command, args []string) error {
				cl, err := a.connect()
				if err != nil {
					return err
				}
				if err := cl.RemoveLimit(c.Context(), args[0]); err != nil || a.json {
					return orPrint(a, err, map[string]string{"removed": args[0]})
				}
				fmt.Fprintf(a.out, "calls towards %s are not limited any more\n", args[0])
				return nil
			}})
	return c
}

func (a *app) limitSetCommand() *cobra.Command {
	var burst int
	c := &cobra.Command{Use: "set HOST RATE", Short: "Limit the calls towards a host", Args: cobra.ExactArgs(2),
		Example: "  flawless limit set api.example.com 10/s\n  flawless limit set api.example.com:8443 5000/h --burst 100",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			l, err := cl.SetLimit(c.Context(), args[0], args[1], burst)
			if err != nil || a.json {
				return orPrint(a, err, l)
			}
			fmt.Fprintf(a.out, "at most %s calls begin towards %s\n", l.Rate(), l.Host)
			return nil
		}}
	c.Flags().IntVar(&burst, "burst", 0, "so many at once after a pause (default 1)")
	return c
}

func (a *app) completeLimit(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
	ctx, cancel := a.brief(c)
	defer cancel()
	if cl, err := a.connect(); err == nil && len(args) == 0 {
		all, _ := cl.Limits(ctx)
		for _, l := range all {
			out = append(out, l.Host+"\t"+l.Rate())
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
