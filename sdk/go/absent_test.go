package flawless_test

import (
	"strings"
	"testing"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// TestErrorsExplainMissingFacilities uses the errors that Go returns in a guest.
func TestErrorsExplainMissingFacilities(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ text, hint string }{
		{"open config.json: Bad file number", "no files"},
		{"reading the prices: stat /tmp/x: Bad file number", "no files"},
		{"mkdir /tmp/x: Bad file number", "no files"},
		{"Bad file number", "unknown time zone"},
		{"planning the delivery: Bad file number", "unknown time zone"},
		{`exec: "ls": executable file not found in $PATH`, "cannot start processes"},
		{"open /dev/null: Bad file number", "cannot start processes"},
		{"fork/exec /bin/ls: Not implemented on wasip1", "cannot start processes"},
		{"pipe: Not implemented on wasip1", "no operating system"},
		{"dial tcp 127.0.0.1:5432: address 127.0.0.1:5432: connect: Connection refused", "no sockets"},
		{"lookup db.example on [::1]:53: write udp 127.0.0.1:18->[::1]:53: write: Connection reset by peer", "no sockets"},
		{"dial unix /run/x.sock: address /run/x.sock: stat /run: Bad file number", "no sockets"},
		{"dial tcp 10.0.0.1:443: connect: connection refused", ""}, // the engine's
		{"dial tcp: guests have no sockets: make HTTP requests", ""},
		{"the card was refused", ""},
	} {
		got := flawless.Explained(row.text)
		rest, whole := strings.CutPrefix(got, row.text)
		if !whole || (rest == "") != (row.hint == "") || !strings.Contains(rest, row.hint) {
			t.Errorf("%s: got %q, want %q in it", row.text, got, row.hint)
		}
	}
}
