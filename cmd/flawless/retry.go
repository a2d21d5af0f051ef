package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
)

func (a *app) retryCommand() *cobra.Command {
	var u client.Urge
	c := &cobra.Command{Use: "retry ID", Short: "Retry a failed call now, or give up on it", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: `A failed call that is safe to repeat waits for its next attempt. To list such
runs, use flawless workflow list --retrying. This command starts the next
attempt now.

With --give-up there are no further attempts. Your code gets the last error,
or the run becomes unresolved if the call may have taken effect and must not
be repeated.`,
		Example: "  flawless workflow retry order-42\n  flawless workflow retry order-42 --call 3 --give-up --note 'the service was shut down'",
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			u.Who = endpoint.Who()
			r, err := cl.Urge(c.Context(), args[0], u)
			if err != nil || a.JSON {
				return a.OrPrint(err, r)
			}
			what := "is retried now"
			if u.GiveUp {
				what = "is not retried any more"
			}
			call := "its call"
			if u.Call != 0 {
				call = fmt.Sprintf("call %d", u.Call)
			}
			fmt.Fprintf(a.Out, "run %s: %s %s; the run is %s\n", r.ID, call, what, r.Status)
			return nil
		})}
	f := c.Flags()
	f.Var(flagvalue.NewInt(&u.Call, 0, 1, flagvalue.MaxInt), "call", "number of the call; may be omitted if only one call waits for a retry")
	f.BoolVar(&u.GiveUp, "give-up", false, "stop retrying, and return the last error to the code")
	f.StringVar(&u.Note, "note", "", "reason, kept in the log")
	return c
}
