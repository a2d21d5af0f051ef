package guest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/flawless-engine/flawless"
)

// maxPrinted is how many lines of its output are quoted if a guest fails while it is initialised.
const maxPrinted = 10

// refusal returns the error for a module that fails before it can be run: how it failed, in which package and where.
// An error of the host is not flawless.Refused.
func (i *Instance) refusal(doing string, err error) error {
	var stop *interrupted
	if errors.As(err, &stop) {
		return fmt.Errorf("%s: %w", doing, stop.err)
	}
	i.endLines()
	f := i.failure(err, i.out.Lines)
	text := f.Message
	if at := culprit(f.Stack); at != "" {
		text += ", in " + at
	}
	detail := f.Stack
	if f.Kind == "exit" { // functions like log.Fatal print why before they exit
		detail = printed(i.out.Lines)
	}
	if detail != "" {
		text += "\n" + detail + "\n"
	}
	return fmt.Errorf("%s: it failed with %s: %s: %w", doing, f.Kind, text, flawless.Refused)
}

// culprit returns the package and the location of the innermost frame of a Go stack that is not the runtime's, "" if
// there is none.
func culprit(stack string) string {
	if !strings.HasPrefix(stack, "goroutine ") {
		return ""
	}
	lines := strings.Split(stack, "\n")
	for n := 1; n+1 < len(lines) && lines[n] != ""; n += 2 {
		name, at := lines[n], strings.TrimSpace(lines[n+1])
		if strings.HasPrefix(name, "panic(") || strings.HasPrefix(name, "runtime.") {
			continue
		}
		dir := strings.LastIndexByte(name, '/') + 1
		pkg, _, _ := strings.Cut(name[dir:], ".") // dots of the path are %2e
		at, _, _ = strings.Cut(at, " ")           // without the offset in the function
		return fmt.Sprintf("package %s at %s", name[:dir]+strings.ReplaceAll(pkg, "%2e", "."), at[strings.LastIndexByte(at, '/')+1:])
	}
	return ""
}

// printed returns the last lines that a guest printed to standard error.
func printed(lines []flawless.Line) string {
	var out []string
	for _, l := range lines {
		if l.Level == "stderr" {
			out = append(out, l.Text)
		}
	}
	return strings.Join(out[max(0, len(out)-maxPrinted):], "\n")
}
