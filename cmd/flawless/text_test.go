package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNonUTF8ArgumentsAreRejected(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "caf\xe9.wasm")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"workflow", "show", "caf\xe9"}, {"workflow", "start", "m/w", "--note=caf\xe9"}, {"\xff"}} {
		var out bytes.Buffer
		if code := run(t.Context(), args, strings.NewReader(""), &out, &out); code != 2 || !strings.Contains(out.String(), "not valid UTF-8") || !utf8.Valid(out.Bytes()) {
			t.Errorf("%q: exit %d, %q", args, code, out.String())
		}
	}
	if err := checkText([]string{file, "--module=" + file, "naïve"}); err != nil {
		t.Errorf("the name of an existing file is rejected: %v", err)
	}
}
