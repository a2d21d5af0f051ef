// Package terminal has what all commands share: streams, global flags and the client.
//
// It prints what commands show, as text or as JSON, and completes arguments with what the server has. It knows no command.
package terminal

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

// Terminal is where a command reads and prints, and its server. It is used by one command at a time.
type Terminal struct {
	In        io.Reader
	Out, Errs io.Writer // for text, see render.Writer
	Binary    io.Writer // for bytes, to the same destination as Out
	endpoint.Endpoint
	JSON bool            // print JSON
	Ctx  context.Context // of the running command

	client *client.Client
}

// Connect returns the client of the server.
func (t *Terminal) Connect() (*client.Client, error) {
	if t.client != nil {
		return t.client, nil
	}
	var err error
	t.client, err = t.Endpoint.Connect(t.Ctx, func(why error) { fmt.Fprintln(t.Errs, "flawless:", why) })
	return t.client, err
}

// Close closes the connection to the server, if there is one.
func (t *Terminal) Close() {
	if t.client != nil {
		_ = t.client.Close()
	}
}

// OnServer returns the action of a command that needs a server.
func (t *Terminal) OnServer(do func(c *cobra.Command, cl *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		cl, err := t.Connect()
		if err != nil {
			return err
		}
		return do(c, cl, args)
	}
}

// PrintJSON prints an indented JSON document.
func (t *Terminal) PrintJSON(v any) error { return render.JSON(t.Out, v, "  ") }

// PrintLine prints a JSON document on one line.
func (t *Terminal) PrintLine(v any) error { return render.JSON(t.Out, v, "") }

// Table prints rows in columns.
func (t *Terminal) Table(head string, rows [][]string) { render.Table(t.Out, head, rows) }

// OrPrint prints v as JSON unless there is an error.
func (t *Terminal) OrPrint(err error, v any) error {
	if err != nil {
		return err
	}
	return t.PrintJSON(v)
}
