package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
)

// labelFlag collects name=value. It is a flag.
type labelFlag map[string]string

func (l *labelFlag) String() string { return labelText(*l) }

// Set implements pflag.Value.
func (l *labelFlag) Set(text string) error {
	name, value, err := flawless.ParseLabel(text)
	if err != nil {
		return err
	}
	if *l == nil {
		*l = labelFlag{}
	}
	(*l)[name] = value
	return nil
}

// Type implements pflag.Value.
func (l *labelFlag) Type() string { return "name=value" }

// labelText is labels in a line.
func labelText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, ", ")
}
