package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// mayBeEmpty are the flags for which empty has a meaning: no note, and the first page.
var mayBeEmpty = []string{"note", "cursor", "from"}

// checkFlags refuses flags that are given but empty, as --id "$ORDER" is where the variable was never set.
// Taken for a flag that is not given, it would start a run that nobody can ask for again, or select another
// server.
func checkFlags(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if err != nil || slices.Contains(mayBeEmpty, f.Name) {
			return
		}
		empty := f.Value.Type() == "string" && f.Value.String() == ""
		if list, is := f.Value.(pflag.SliceValue); is {
			all := list.GetSlice()
			empty = len(all) == 0 || slices.Contains(all, "")
		}
		if empty {
			err = fmt.Errorf("--%s is empty; give it a value or omit it (is a shell variable unset?)", f.Name)
		}
	})
	return err
}
