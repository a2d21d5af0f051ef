package main

import "strings"

// lists has the command that shows what there is instead of what was not found, by the words of the error.
var lists = []struct{ missing, command string }{
	{"there is no module ", "flawless module list"},
	{"has no version ", "flawless module list"},
	{"there is no run ", "flawless workflow list"},
	{"there is no promise ", "flawless workflow promise list"},
	{"there is no schedule ", "flawless schedule list"},
	{"there is no secret ", "flawless secret list"},
	{"there is no limit ", "flawless limit list"},
	{"there is no state ", "flawless state list"},
}

// whereToLook is the hint for something that was not found. It is "" where a list of what a server has is of
// no help: a file is missing, a program, a turn of a run.
func whereToLook(text string) string {
	for _, l := range lists {
		if strings.Contains(text, l.missing) {
			return "to see what exists: " + l.command
		}
	}
	return ""
}
