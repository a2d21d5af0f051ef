package flagvalue

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/pflag"
)

// MayBeEmpty lists the flags for which an empty value has a meaning: no note.
var MayBeEmpty = []string{"note"}

// CheckGiven rejects flags that are given but empty, such as --id "$ORDER" if the variable is not set. If they
// counted as not given, a retry would start a second run, or a command would go to another server.
func CheckGiven(given *pflag.FlagSet) (err error) {
	given.Visit(func(f *pflag.Flag) {
		if err != nil || slices.Contains(MayBeEmpty, f.Name) {
			return
		}
		empty := f.Value.Type() == "string" && f.Value.String() == ""
		if list, is := f.Value.(pflag.SliceValue); is {
			all := list.GetSlice()
			empty = len(all) == 0 || slices.Contains(all, "")
		}
		if empty {
			err = emptyFlag(f)
		}
	})
	return err
}

func emptyFlag(f *pflag.Flag) error {
	return fmt.Errorf("--%s is empty; give it a value or omit it (is a shell variable unset?)", f.Name)
}

// Explain words an error about a flag's value. The flag package quotes the errors of Go's parsers.
func Explain(err error) error {
	unknown := new(pflag.NotExistError)
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" {
		return fmt.Errorf("there is no option -%s; if it begins an argument, put -- before the arguments", unknown.GetSpecifiedName())
	}
	wrong := new(pflag.InvalidValueError)
	if !errors.As(err, &wrong) {
		return err
	}
	f, value := wrong.GetFlag(), wrong.GetValue()
	want := map[string]string{"uint64": "a whole number that is not negative", "bool": "true or false"}[f.Value.Type()]
	switch {
	case value == "":
		return emptyFlag(f)
	case want == "": // a type of this package has worded it
		return fmt.Errorf("--%s: %w", f.Name, wrong.Unwrap())
	case errors.Is(err, strconv.ErrRange):
		want = "a smaller number"
	}
	return fmt.Errorf("--%s is %q; give %s", f.Name, value, want)
}
