package main

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/session"
)

func (a *app) openCommand() *cobra.Command {
	var only bool
	c := &cobra.Command{Use: "open [ID]", Short: "Open the console in a browser", Args: cobra.MaximumNArgs(1),
		Long: `Opens the console of the server in a browser, at the page of a run if you give
its id, and prints the address.

If the server has a token, the address logs the browser in once, within 10
minutes. The token itself is not in it.`,
		Example: "  flawless open\n  flawless open order-4711\n  flawless open --print",
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			path := "/"
			if len(args) > 0 {
				if _, err := cl.Run(c.Context(), args[0], false); err != nil {
					return err
				}
				path = "/runs/" + url.PathEscape(args[0])
			} else if _, err := cl.Version(c.Context()); err != nil {
				return err
			}
			token, err := a.Token()
			if err != nil {
				return err
			}
			to := a.Console() + path
			if token != "" {
				q := url.Values{"code": {session.New(token).Code(time.Now())}, "to": {path}}
				to = a.Console() + "/login?" + q.Encode()
			}
			if a.json {
				return a.printJSON(map[string]string{"url": to})
			}
			fmt.Fprintln(a.out, to)
			if !only {
				if err := browse(c.Context(), to); err != nil {
					fmt.Fprintln(a.errs, "no browser could be started; open the address yourself")
				}
			}
			return nil
		})}
	c.Flags().BoolVar(&only, "print", false, "only print the address")
	return c
}

// browse starts the browser of the user and does not wait for it.
func browse(ctx context.Context, to string) error {
	name, args := "xdg-open", []string{to}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", to}
	}
	return exec.CommandContext(ctx, name, args...).Run() // it returns once the browser has the address
}
