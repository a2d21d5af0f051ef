package flawless

import (
	"fmt"

	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// SetLabel sets a label of the run, by which people and programs can find it: flawless workflow list --label
// customer=4711. An empty value removes the label. A run has at most 20 labels; one more is ignored, and a line in
// the log of the run reports it. SetLabel does not wait; the label becomes visible once the turn is durable. It may
// be called concurrently.
//
// A name has 1 to 63 letters, digits, dots, dashes, underscores and slashes and begins with a letter or digit. A
// value is one line of at most 200 bytes. The error says which rule was broken, or is [ErrOutside].
func SetLabel(name, value string) error {
	if !labelName(name) {
		return fmt.Errorf("invalid label name %.100q: use 1 to 63 letters, digits, dots, dashes, underscores and slashes, and begin with a letter or digit", name)
	}
	if !labelValue(value) {
		return fmt.Errorf("invalid value of label %s: use one line of text of at most 200 bytes", name)
	}
	if current.Load() == nil {
		return ErrOutside
	}
	o := wire.NewObject(nil)
	o.Str("name", name)
	o.Str("value", value)
	if at := site.Caller(1); at != "" {
		o.Str("at", at)
	}
	note("label", o.End(), nil)
	return nil
}

func labelName(name string) bool {
	for i := range len(name) {
		c := name[i]
		alone := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alone && (i == 0 || c != '.' && c != '-' && c != '_' && c != '/') {
			return false
		}
	}
	return name != "" && len(name) <= 63
}

func labelValue(value string) bool {
	for _, r := range value {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd {
			return false
		}
	}
	return len(value) <= 200
}
