package tally

import (
	"regexp"
	"strings"
)

// maxReason is the longest reason, in bytes.
const maxReason = 120

// varying matches what differs between failures that have the same reason: ids, addresses and numbers.
var varying = regexp.MustCompile(`\bwkf_[0-9a-z]+(\.[0-9]+)*|\b[0-9a-fA-F]{4,}(-[0-9a-fA-F]{4,})+\b|\b0x[0-9a-fA-F]+|\b[0-9a-fA-F]*[0-9][0-9a-fA-F]{7,}\b|[0-9]+(\.[0-9]+)*`)

// Normal returns a reason that failures have in common: the first line of a text, without ids and numbers.
func Normal(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > 4*maxReason { // of a long text, only the beginning counts
		text = text[:4*maxReason]
	}
	text = varying.ReplaceAllString(strings.ToValidUTF8(text, "?"), "N")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}
