package flawless

import (
	"fmt"

	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// SetLabel gives the run a label by which people and other programs find it: `flawless workflow list
// --label customer=4711`. No value removes it. A run has at most 20; one more is left out, and a line
// in the log of the run says so. Like [SetData] it does not wait and becomes visible with the turn.
//
// A name is 1 to 63 letters, digits, dots, dashes, underscores and slashes, a value at most 200 bytes
// of text in one line. The error says that they are not, or is [ErrOutside]. SetLabel may be called
// concurrently.
func SetLabel(name, value string) error {
	if !labelName(name) {
		return fmt.Errorf("a label's name is 1 to 63 letters, digits, dots, dashes, underscores and slashes and begins with a letter or digit, %.100q is not", name)
	}
	if !labelValue(value) {
		return fmt.Errorf("the value of label %s is not text of at most 200 bytes in one line", name)
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
