package flawless

import (
	"fmt"
	"strings"
)

// The engine ends a guest that hands it more than this, in bytes. So no call goes that far.
const (
	maxBody = 64 << 20
	maxText = 1 << 20 // of a line of the log, and of the message of a failure
)

// checkBody returns the error of a call whose body the engine does not take. It is not made then.
func checkBody(method, url string, body []byte) error {
	if len(body) <= maxBody {
		return nil
	}
	return &CallError{Method: method, URL: url, Kind: KindTooLarge,
		Message: fmt.Sprintf("the body has %d bytes, at most %d are allowed; nothing was sent", len(body), maxBody)}
}

// cut returns the beginning of a text where that is longer than most bytes, and says so.
func cut(text string, most int) string {
	const mark = "… (cut)"
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(mark)], "") + mark
}
