// Package operate has the commands of those who run servers: nodes, the store and its history, counts, limits, settings of
// hosts, secrets, shared state and views.
//
// A command asks the server, and prints what it says. It never changes anything that the server does not.
package operate

import (
	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
)

// app has the commands.
type app struct{ *terminal.Terminal }

// Commands returns the commands.
func Commands(t *terminal.Terminal) []*cobra.Command {
	a := &app{t}
	return []*cobra.Command{a.stateCommand(), a.secretCommand(), a.limitCommand(), a.hostCommand(), a.nodeCommand(), a.statsCommand(), a.viewCommand(), a.storeCommand(), a.historyCommand()}
}
