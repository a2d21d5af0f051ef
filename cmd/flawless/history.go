package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/daemon"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) historyCommand() *cobra.Command {
	c := &cobra.Command{Use: "history", Short: "Show whether the database may have lost calls, and decide", Args: cobra.NoArgs,
		Long: `A database that fails over to an asynchronous standby, or is restored from a
backup, loses writes that it had acknowledged, and with them calls that were
made. Each server knows its own from its ring, a file in its working directory,
and they become unresolved. If a ring is missing, or too short, no open run goes
on that its server had, until that ring is there or somebody accepts it.`,
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
			h, err := cl.History(c.Context())
			if err != nil || a.json {
				return orPrint(a, err, h)
			}
			render.History(a.out, h)
			return nil
		})}
	c.AddCommand(a.historyAcceptCommand())
	return c
}

func (a *app) historyAcceptCommand() *cobra.Command {
	var yes bool
	var note string
	c := &cobra.Command{Use: "accept --yes", Short: "Let runs go on that were held because calls may be lost", Args: cobra.NoArgs,
		Long: `Resumes the runs that were held because the database may have lost calls. A run
that had made such a call makes it again. Any server takes the command, and each
resumes its own runs. Without --yes, it only shows what is known.`,
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
			if !yes {
				h, err := cl.History(c.Context())
				if err != nil {
					return err
				}
				render.History(a.out, h)
				return fmt.Errorf("nothing was accepted: repeat the command with --yes: %w", flawless.Invalid)
			}
			h, err := cl.AcceptHistory(c.Context(), endpoint.Who(), note)
			if err != nil || a.json {
				return orPrint(a, err, h)
			}
			render.Accepted(a.out, h)
			return nil
		})}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "accept the history")
	c.Flags().StringVar(&note, "note", "", "reason, kept in the log")
	return c
}

func (a *app) storeRestoredCommand() *cobra.Command {
	var p daemon.Place
	c := &cobra.Command{Use: "restored --store ADDRESS", Short: "Say that the database of a store was restored from a backup", Args: cobra.NoArgs,
		Long: `Run this after you have restored a PostgreSQL database from a backup or a
snapshot, and before you start a server on it. A server whose working directory
was restored, too, cannot notice. The next server that starts holds all open
runs until somebody accepts the history: see flawless history.`,
		Example: "  flawless store restored --store postgres://flawless@db.example/flawless",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := daemon.Restored(c.Context(), p); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]bool{"restored": true})
			}
			fmt.Fprintln(a.out, "noted: the next server that starts holds all open runs; see flawless history")
			return nil
		}}
	c.Flags().StringVar(&p.Address, "store", "", "address of the PostgreSQL database")
	c.Flags().StringVar(&p.Schema, "store-schema", "", "schema of the tables (default flawless)")
	_ = c.MarkFlagRequired("store")
	return c
}
