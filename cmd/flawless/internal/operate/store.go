package operate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/daemon"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
	"github.com/flawless-engine/flawless/internal/store/transfer"
	"github.com/flawless-engine/flawless/internal/workdir"
)

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "Check the store for damage, or move it", Args: cobra.NoArgs, RunE: usage.NeedsCommand}
	c.AddCommand(a.storeCheckCommand(), a.storeShowCommand(), a.storeCopyCommand(), a.storeRestoredCommand())
	return c
}

func (a *app) storeCheckCommand() *cobra.Command {
	return &cobra.Command{Use: "check", Short: "Read the whole store and report damage", Args: cobra.NoArgs,
		Long: `Reads every block of every table of the store and verifies its checksum. For
each damaged file it shows the runs, modules, indexes and settings that are
stored there, and what to do about each. A server also compares the counts of
runs (flawless stats) with the runs, and corrects those that differ. Nothing
else is changed.

The server runs the check. If no server answers, the command runs it on the
working directory. --working-dir says which directory. The exit code is 13 if
damage is found.

A server checks its store by itself soon after each start and once a day;
flawless store show shows the result. A store in a database (up --store) is
not checked: use the checks that the database offers.`,
		Example: "  flawless store check\n  flawless --working-dir ./data store check --json",
		RunE: func(c *cobra.Command, _ []string) error {
			began := time.Now()
			found, err := a.checkStore(c.Context(), c.Flags().Changed("working-dir"))
			if err != nil {
				return err
			}
			if a.JSON {
				if err := a.PrintJSON(found); err != nil {
					return err
				}
			} else {
				render.StoreCheck(a.Out, found, time.Since(began))
			}
			return checkError(found)
		}}
}

func (a *app) storeCopyCommand() *cobra.Command {
	var from, to daemon.Place
	var cancel bool
	c := &cobra.Command{Use: "copy --from PLACE --to PLACE", Short: "Move a store to PostgreSQL, or back to a working directory", Args: cobra.NoArgs,
		Long: `Copies everything in a store to a place that has none: runs with their logs,
modules, schedules, settings and secrets. A place is a working directory, or
the address of a PostgreSQL database. Stop the server first.

The store goes on in one place only. As soon as the copy begins, the source
cannot be started any more; the target can be when everything was copied, read
again and compared. If the copy is interrupted, repeat the command: it goes on.
--cancel undoes a copy that is not complete: the source can be started again.

Secrets are encrypted. Give the server at the target their key: the file
secret.key of the source's working directory, or FLAWLESS_SECRET_KEY.`,
		Example: `  flawless store copy --from ./data --to postgres://flawless@db.example/flawless
  flawless store copy --from postgres://flawless@db.example/flawless --to ./data`,
		RunE: func(c *cobra.Command, _ []string) error {
			bar := render.NewBar(a.Errs)
			defer bar.End()
			r, err := daemon.CopyStore(c.Context(), from, to, cancel, func(r transfer.Report) {
				switch {
				case !bar.OnTerminal() || a.JSON:
				case r.Compared == 0: // how much there is to copy is not known
					bar.Show("copying", 0)
				default:
					bar.Show("comparing", min(1, float64(r.Compared)/float64(max(r.Rows, 1))))
				}
			})
			bar.End()
			switch {
			case err != nil:
				return err
			case a.JSON:
				return a.PrintJSON(map[string]any{"copied": r, "cancelled": cancel})
			case cancel:
				fmt.Fprintln(a.Out, "cancelled: the source can be started again")
				return nil
			}
			fmt.Fprintf(a.Out, "moved store %s: %d rows, %s, all compared. Start the server on the target\n", r.Store, r.Compared, render.Size(r.Bytes))
			return nil
		}}
	f := c.Flags()
	f.StringVar(&from.Address, "from", "", "working directory, or address of a PostgreSQL database, that has the store")
	f.StringVar(&to.Address, "to", "", "working directory, or address of a PostgreSQL database, without a store")
	f.StringVar(&from.Schema, "from-schema", "", "schema of the tables in the database of --from (default flawless)")
	f.StringVar(&to.Schema, "to-schema", "", "schema of the tables in the database of --to (default flawless)")
	f.BoolVar(&cancel, "cancel", false, "undo a copy that is not complete")
	_ = c.MarkFlagRequired("from")
	_ = c.MarkFlagRequired("to")
	return c
}

func (a *app) storeShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show", Short: "Show the identity of the store and the result of its last check", Args: cobra.NoArgs,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
			h, err := cl.Health(c.Context())
			if err != nil {
				return err
			}
			check, err := cl.StoreCheck(c.Context())
			inDatabase := errors.Is(err, flawless.Invalid)
			if err != nil && !inDatabase {
				return err
			}
			if a.JSON {
				return a.PrintJSON(map[string]any{"store": h.Store, "start": h.Start, "origin": h.Origin, "state": h.State, "message": h.Message, "check": check})
			}
			render.Store(a.Out, h, check, inDatabase)
			return nil
		})}
}

// checkError returns the error for the result of a check.
func checkError(c flawless.StoreCheck) error {
	switch {
	case len(c.Damaged) > 0:
		return fmt.Errorf("%d files of the store are damaged: %w", len(c.Damaged), exit.DamagedStore)
	case c.Error != "":
		return fmt.Errorf("the check is incomplete: %s", c.Error)
	}
	return nil
}

// checkStore has the server check its store. If no server uses the working directory, it checks the store itself.
func (a *app) checkStore(ctx context.Context, named bool) (flawless.StoreCheck, error) {
	dir := filepath.Join(a.Dir, "store")
	_, missing := os.Stat(filepath.Join(dir, "data"))
	if named {
		if missing != nil {
			if s, err := workdir.FindServer(a.Dir); err == nil && s != nil { // it may have its store in a database
				return a.checkOnServer(ctx)
			}
			return flawless.StoreCheck{}, fmt.Errorf("there is no store in the working directory %s: %w", a.Dir, flawless.NotFound)
		}
		c, err := a.checkDirectory(ctx, dir)
		if !errors.Is(err, flawless.Conflict) {
			return c, err
		}
		if mine := a.usedByServer(ctx, dir); mine != nil { // another server uses it
			return c, errors.Join(err, mine)
		}
	}
	c, err := a.checkOnServer(ctx)
	if !errors.Is(err, client.Unreachable) || missing != nil || named {
		return c, err
	}
	return a.checkDirectory(ctx, dir)
}

// usedByServer returns nil if the server that answers has the store in a directory.
func (a *app) usedByServer(ctx context.Context, dir string) error {
	cl, err := a.Connect()
	if err != nil {
		return err
	}
	h, err := cl.Health(ctx)
	if err != nil {
		return fmt.Errorf("asking the server that uses the directory: %w", err)
	}
	if m, err := workdir.Look(dir); err != nil || m == nil || m.Store != h.Store {
		return fmt.Errorf("the server at %s has a different store; give the address of the server that uses the directory with --socket: %w", a.Socket, flawless.Conflict)
	}
	return nil
}

func (a *app) checkDirectory(ctx context.Context, dir string) (flawless.StoreCheck, error) {
	bar, progress := a.checkProgress()
	defer bar.End()
	return daemon.CheckStore(ctx, dir, progress)
}

func (a *app) checkOnServer(ctx context.Context) (flawless.StoreCheck, error) {
	cl, err := a.Connect()
	if err != nil {
		return flawless.StoreCheck{}, err
	}
	c, err := cl.CheckStore(ctx)
	bar, progress := a.checkProgress()
	defer bar.End()
	for err == nil && c.Running {
		progress(c.Read, c.Total)
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return c, ctx.Err()
		}
		c, err = cl.StoreCheck(ctx)
	}
	return c, err
}

// checkProgress returns a bar for the progress of a check, which is drawn on a terminal only.
func (a *app) checkProgress() (*render.Bar, func(read, total int64)) {
	b := render.NewBar(a.Errs)
	return b, func(read, total int64) {
		if b.OnTerminal() && !a.JSON {
			b.Show("checking", float64(read)/float64(max(total, 1)))
		}
	}
}
