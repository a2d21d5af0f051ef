//go:build !wasip1

package flawlesstest

import (
	"strings"
	"testing"
)

// TestURLAsBinaryIsRejected sets FLAWLESS_BIN to the URL of a server, and expects a helpful error.
func TestURLAsBinaryIsRejected(t *testing.T) {
	t.Setenv(binary, "http://localhost:27288")
	if _, err := command(t.Context(), "version"); err == nil || !strings.Contains(err.Error(), "a URL; set it to the path of the command flawless") {
		t.Error(err)
	}
}
