package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/browser"
)

func (a *app) openCommand() *cobra.Command {
	var only bool
	c := &cobra.Command{Use: "open [ID]", Short: "Open the console in a browser", Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: `Opens the console in a browser, at the page of a run if you give its id. If the
server has a token, the address logs in once, within 10 minutes.`,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			id := ""
			if len(args) > 0 {
				id = args[0]
				if _, err := cl.Run(c.Context(), id, false); err != nil {
					return err
				}
			} else if _, err := cl.Version(c.Context()); err != nil {
				return err
			}
			token, err := a.Token()
			to := browser.Address(a.Console(), token, id)
			if err != nil || a.JSON {
				return a.OrPrint(err, map[string]string{"url": to})
			}
			fmt.Fprintln(a.Out, to)
			if !only && browser.Open(c.Context(), to) != nil {
				fmt.Fprintln(a.Errs, "no browser could be started; open the address yourself")
			}
			return nil
		})}
	c.Flags().BoolVar(&only, "print", false, "only print the address")
	return c
}
