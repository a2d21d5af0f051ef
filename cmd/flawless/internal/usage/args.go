package usage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
)

// Wrong returns an error about how a command was called.
func Wrong(c *cobra.Command, err error) error {
	return &exit.UsageError{Command: c.CommandPath(), Err: err}
}

// NeedsCommand is the action of a command that only groups others.
func NeedsCommand(c *cobra.Command, _ []string) error {
	return Wrong(c, fmt.Errorf("%s needs a subcommand", c.CommandPath()))
}

// Help is the action of the command help: it prints the help of the command that args name, or returns an error if
// there is none.
func Help(c *cobra.Command, args []string) error {
	topic, rest, err := c.Root().Find(args)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("unknown command %q for %q", rest[0], topic.CommandPath())
	}
	if err != nil {
		return Wrong(cmp.Or(topic, c.Root()), err)
	}
	topic.InitDefaultHelpFlag() // it is listed among the flags
	topic.InitDefaultVersionFlag()
	return topic.Help()
}

// CheckArgs makes a command and those below it reject empty flags and arguments, and makes errors about arguments name
// the command.
func CheckArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := CheckFlags(c.Flags())
			if err == nil {
				err = check(c, args)
			}
			switch {
			case err == nil:
			case strings.HasPrefix(err.Error(), "unknown command") && !c.HasSubCommands():
				err = fmt.Errorf("%s takes no arguments, and %q is one", c.CommandPath(), args[0])
			case strings.Contains(err.Error(), " arg(s)"):
				err = fmt.Errorf("wrong number of arguments, %d: the usage is %s", len(args), c.UseLine())
			}
			if at := slices.Index(args, ""); err == nil && at >= 0 {
				err = fmt.Errorf("argument %d is empty (is a shell variable unset?)", at+1)
			}
			if err != nil {
				return Wrong(c, err)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		CheckArgs(sub)
	}
}
