package reply

import (
	"bytes"
	"encoding/json"
	"io"
	"unicode/utf8"
)

// JSON returns v as JSON, with a newline. Invalid UTF-8 becomes U+FFFD. It comes from guests, for example in an
// output or in the fields of a log line; the log keeps it unchanged, because a replay compares it.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	if utf8.Valid(b.Bytes()) {
		return b.Bytes(), nil
	}
	return bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD")), nil
}

// WriteJSON writes v as [JSON] returns it.
func WriteJSON(w io.Writer, v any) error {
	b, err := JSON(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}
