package main

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) showCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "show ID", Short: "Show a run, its calls and its children", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			r, err := cl.Run(c.Context(), args[0], false)
			if err != nil {
				return err
			}
			calls := render.Calls{}
			for rec, err := range cl.WholeLog(c.Context(), r.ID) {
				if err != nil && r.Problem != "" {
					break // the run is quarantined because of this damage
				}
				if err != nil {
					return err
				}
				calls.Add(rec)
			}
			fates := calls.List()
			var family []render.Child
			if slices.ContainsFunc(fates, func(f render.Call) bool { return strings.HasPrefix(f.Call, "spawn ") }) {
				list := func(parent string) iter.Seq2[flawless.Run, error] {
					return cl.All(c.Context(), flawless.Filter{Parent: parent, Limit: 1000})
				}
				if family, err = render.FamilyOf(r.ID, list); err != nil {
					return err
				}
			}
			var unread []flawless.Message
			if r.Mail > 0 && r.Problem == "" {
				if unread, err = cl.Unread(c.Context(), r.ID, 10); err != nil {
					return err
				}
			}
			if a.JSON {
				return a.PrintJSON(map[string]any{"run": r, "calls": fates, "children": family, "unread": unread})
			}
			left := 0
			if !all {
				fates, left = render.Shortlist(fates)
			}
			render.Run(a.Out, r, fates)
			render.Unread(a.Out, r, unread)
			if left > 0 {
				fmt.Fprintf(a.Out, "and %d more calls; show them with --all\n", left)
			}
			if len(family) > 0 {
				render.Family(a.Out, family)
			}
			return nil
		})}
	c.Flags().BoolVar(&all, "all", false, "show all calls")
	return c
}
