package forward

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Position says up to where a reader has the changes of servers: by the epoch of each, the number of the last one. As text,
// which is the id of events, it is epoch-number, with commas between servers.
type Position map[string]uint64

// maxPosition is the longest text of a position that is read, in bytes.
const maxPosition = 4 << 10

// ParsePosition reads a position. It returns nil for a text that is not one.
func ParsePosition(text string) Position {
	if text == "" || len(text) > maxPosition {
		return nil
	}
	p := Position{}
	for part := range strings.SplitSeq(text, ",") {
		epoch, number, _ := strings.Cut(part, "-")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || epoch == "" {
			return nil
		}
		p[epoch] = n
	}
	return p
}

// String returns the position as text, with the epochs sorted.
func (p Position) String() string {
	var parts []string
	for _, epoch := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, epoch+"-"+strconv.FormatUint(p[epoch], 10))
	}
	return strings.Join(parts, ",")
}
