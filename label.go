package flawless

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of labels.
const (
	MaxLabels     = 20  // per run
	MaxLabelName  = 63  // bytes
	MaxLabelValue = 200 // bytes
)

// CheckLabel returns nil if the label is valid, otherwise [Invalid] with the reason.
func CheckLabel(name, value string) error {
	switch {
	case !labelName(name):
		return fmt.Errorf("the name of a label must be 1 to %d letters, digits, dots, dashes, underscores and slashes, beginning with a letter or digit; %.100q is not: %w", MaxLabelName, name, Invalid)
	case len(value) > MaxLabelValue:
		return fmt.Errorf("the value of label %s has %d bytes, but at most %d are allowed: %w", name, len(value), MaxLabelValue, Invalid)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("the value of label %s must be a single line of text: %w", name, Invalid)
	case value != "" && strings.TrimSpace(value) == "":
		return fmt.Errorf("the value of label %s is nothing but space: %w", name, Invalid)
	}
	return nil
}

func labelName(name string) bool {
	for i := range len(name) {
		c := name[i]
		alone := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alone && (i == 0 || !strings.ContainsRune("._-/", rune(c))) {
			return false
		}
	}
	return name != "" && len(name) <= MaxLabelName
}

// CheckLabels returns nil if a run can have all of these labels, otherwise [Invalid] with the reason.
func CheckLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("there are %d labels, but a run can have at most %d: %w", len(labels), MaxLabels, Invalid)
	}
	for name, value := range labels {
		if value == "" {
			return fmt.Errorf("label %.100s has no value: %w", name, Invalid)
		}
		if err := CheckLabel(name, value); err != nil {
			return err
		}
	}
	return nil
}

// ParseLabel parses name=value.
func ParseLabel(text string) (name, value string, err error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || value == "" {
		return "", "", fmt.Errorf("the label %.100q is not name=value: %w", text, Invalid)
	}
	return name, value, CheckLabel(name, value)
}
