// Package usage checks flags and words what is wrong with a command line for people. It hides the texts of the libraries
// for commands and flags, which quote Go. It asks for confirmations. It never looks at what a flag means.
package usage

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Worded returns an error for people if err is from cobra and about a wrong command line, and nil otherwise. Cobra has
// no type for these.
func Worded(err error) error {
	text := err.Error()
	names := func(before, after, with string) string {
		_, text, _ := strings.Cut(text, before)
		text, _, _ = strings.Cut(text, after)
		return "--" + strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(` ,"`, r) }), with+"--")
	}
	switch {
	case strings.HasPrefix(text, "required flag(s)"):
		return fmt.Errorf("%s must be given", names("required flag(s) ", " not set", " and "))
	case strings.HasPrefix(text, "at least one of the flags"):
		return fmt.Errorf("one of %s must be given", names("[", "]", ", "))
	case strings.HasPrefix(text, "if any flags in the group"):
		return fmt.Errorf("%s exclude each other", names("; [", "]", " and "))
	case strings.HasPrefix(text, "unknown command"):
		return err
	}
	return nil
}

// MayBeEmpty lists the flags for which an empty value has a meaning: no note.
var MayBeEmpty = []string{"note"}

// CheckFlags rejects flags that are given but empty, such as --id "$ORDER" if the variable is not set. If they
// counted as not given, a retry would start a second run, or a command would go to another server.
func CheckFlags(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
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

// FlagError words an error about a flag's value. The flag package quotes the errors of Go's parsers.
func FlagError(err error) error {
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
	case want == "": // package flagvalue has worded it
		return fmt.Errorf("--%s: %w", f.Name, wrong.Unwrap())
	case errors.Is(err, strconv.ErrRange):
		want = "a smaller number"
	}
	return fmt.Errorf("--%s is %q; give %s", f.Name, value, want)
}
