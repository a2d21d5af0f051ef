package flawless

import (
	"fmt"
	"strings"
)

// The engine stops a guest that hands it more than this, in bytes. The SDK returns an error or cuts the text before
// that.
const (
	maxBody = 64 << 20
	maxText = 1 << 20 // of a log line, and of the message of a failure
)

// checkBody returns an error if the engine would not accept the body; the call must not be made then.
func checkBody(method, url string, body []byte) error {
	if len(body) <= maxBody {
		return nil
	}
	return &CallError{Method: method, URL: url, Kind: KindTooLarge,
		Message: fmt.Sprintf("the body has %d bytes, the limit is %d; nothing was sent", len(body), maxBody)}
}

// cut shortens a text that is longer than the given number of bytes, and marks it.
func cut(text string, limit int) string {
	const mark = "… (cut)"
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(mark)], "") + mark
}
