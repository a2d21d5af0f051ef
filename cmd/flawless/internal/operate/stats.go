package operate

import (
	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) statsCommand() *cobra.Command {
	return &cobra.Command{Use: "stats", Short: "Count runs by module and status, and why they fail", Args: cobra.NoArgs,
		Long: `Counts the runs of the server, or of all servers on its database, by module and
status; how many started and ended in the last hour and day; and the reasons why
runs failed or are unresolved, since when. Reasons leave out ids and numbers, so
that runs which failed alike count together. Nothing is searched for it: the
command is as fast with a million runs as with ten.`,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
			s, err := cl.Stats(c.Context())
			if err != nil || a.JSON {
				return a.OrPrint(err, s)
			}
			render.Stats(a.Out, s)
			return nil
		})}
}
