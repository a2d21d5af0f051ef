//go:build !wasip1

package flawlesstest

import (
	"strings"
	"testing"
)

// TestURLIsNoBinary: the URL of a server in the place of the command's path gets a helpful answer.
func TestURLIsNoBinary(t *testing.T) {
	t.Setenv(binary, "http://localhost:27288")
	if _, err := command(t.Context(), "version"); err == nil || !strings.Contains(err.Error(), "a URL; give the path of the command flawless") {
		t.Error(err)
	}
}
