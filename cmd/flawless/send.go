package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
)

func (a *app) sendCommand() *cobra.Command {
	var key string
	var wait bool
	c := &cobra.Command{Use: "send ID TYPE [JSON|@FILE|-]", Short: "Send a message to a run", Args: cobra.RangeArgs(2, 3), ValidArgsFunction: a.CompleteRun,
		Long: `Sends a message to a run. The run gets it when it receives messages of that
type; until then the message waits. With --key, the message is delivered once,
no matter how often you repeat the command. With --wait, the command prints
the reply of the run.`,
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
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			m := flawless.Message{Type: args[1], Body: flawless.Bytes(b), Key: key, Who: endpoint.Who()}
			if wait {
				id, reply, err := cl.Ask(c.Context(), args[0], m)
				if err != nil || a.JSON {
					return a.OrPrint(err, map[string]any{"id": id, "reply": reply})
				}
				fmt.Fprintln(a.Out, string(reply))
				return nil
			}
			id, err := cl.Send(c.Context(), args[0], m)
			if err != nil || a.JSON {
				return a.OrPrint(err, map[string]string{"id": id})
			}
			fmt.Fprintln(a.Out, id)
			return nil
		}}
	c.Flags().StringVar(&key, "key", "", "key for the message; a message with the same key is delivered only once if you repeat it within an hour")
	c.Flags().BoolVar(&wait, "wait", false, "wait for the reply of the run and print it")
	return c
}
