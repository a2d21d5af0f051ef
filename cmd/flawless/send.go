package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
)

func (a *app) sendCommand() *cobra.Command {
	var key string
	var wait bool
	c := &cobra.Command{Use: "send ID TYPE [JSON|@FILE|-]", Short: "Send a message to a run", Args: cobra.RangeArgs(2, 3), ValidArgsFunction: a.completeRun,
		Long: "Sends a message to a run, which gets it when it receives messages of that type; until then it waits there. With --key the\n" +
			"same message is taken in once, however often the command is repeated. With --wait what the run replies is printed.",
		Example: "  flawless workflow send order-42 approve '{\"by\":\"ann\"}' --key approval-7\n  flawless workflow send counter add 5 --wait",
		RunE: func(c *cobra.Command, args []string) error {
			value := "null"
			if len(args) == 3 {
				value = args[2]
			}
			b, err := a.readInput(value)
			if err != nil {
				return err
			}
			cl, err := a.connect()
			if err != nil {
				return err
			}
			m := flawless.Message{Type: args[1], Body: flawless.Bytes(b), Key: key, Who: who()}
			if wait {
				id, reply, err := cl.Ask(c.Context(), args[0], m)
				if err != nil || a.json {
					return orPrint(a, err, map[string]any{"id": id, "reply": reply})
				}
				fmt.Fprintln(a.out, string(reply))
				return nil
			}
			id, err := cl.Send(c.Context(), args[0], m)
			if err != nil || a.json {
				return orPrint(a, err, map[string]string{"id": id})
			}
			fmt.Fprintln(a.out, id)
			return nil
		}}
	c.Flags().StringVar(&key, "key", "", "your own key for the message; repeat it within an hour")
	c.Flags().BoolVar(&wait, "wait", false, "wait until the run has replied, print the reply")
	return c
}
