package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// mayBeEmpty lists the flags for which an empty value has a meaning: no note, or the first page.
var mayBeEmpty = []string{"note", "cursor", "from"}

// checkFlags rejects flags that are given but empty, such as --id "$ORDER" if the variable is not set. If they
// counted as not given, a retry would start a second run, or a command would go to another server.
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
