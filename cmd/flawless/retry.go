package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

func (a *app) retryCommand() *cobra.Command {
	var u client.Urge
	c := &cobra.Command{Use: "retry ID", Short: "Try a failed call again now, or give it up", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		Long: "A call that has failed and can be tried again without harm waits for its next try; flawless workflow list --retrying\n" +
			"shows such runs. This starts the next try now. With --give-up there are no more tries: your code gets the last error,\n" +
			"or the run becomes unresolved if the call may have taken effect and must not be repeated.",
		Example: "  flawless workflow retry order-42\n  flawless workflow retry order-42 --call 3 --give-up --note 'the service was shut down'",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			u.Who = who()
			r, err := cl.Urge(c.Context(), args[0], u)
			if err != nil || a.json {
				return orPrint(a, err, r)
			}
			what := "is tried again now"
			if u.GiveUp {
				what = "is given up"
			}
			call := "its call"
			if u.Call != 0 {
				call = fmt.Sprintf("call %d", u.Call)
			}
			fmt.Fprintf(a.out, "run %s: %s %s; the run is %s\n", r.ID, call, what, r.Status)
			return nil
		}}
	f := c.Flags()
	f.IntVar(&u.Call, "call", 0, "number of the call; not needed where only one waits for a try")
	f.BoolVar(&u.GiveUp, "give-up", false, "no more tries: tell the code how the last one ended")
	f.StringVar(&u.Note, "note", "", "why; it is part of the log")
	return c
}

// retryingText says of a call that it is tried again.
func retryingText(r flawless.Retrying) string {
	text := fmt.Sprintf("retrying call %d since %s, %d tries: %s", r.Call, ago(r.Since), r.Tries, r.Reason)
	if r.Next == nil {
		return text + "; a try is under way or waits for its place"
	}
	return text + "; next try " + ago(*r.Next)
}
