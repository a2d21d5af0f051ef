package arch

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxLines is the maximum length of a package without its tests. A longer one does more than one thing.
const maxLines = 3500

func TestPackagesAreSmall(t *testing.T) {
	t.Parallel()
	all := packages(t)
	sdk, err := filepath.Glob(filepath.Join("..", "..", "sdk", "go", "*.go"))
	if err != nil || len(sdk) == 0 {
		t.Fatal("the SDK is not there", err)
	}
	all["sdk/go"] = sdk
	for pkg, files := range all {
		lines := 0
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(b, []byte("\n"))
		}
		if lines > maxLines {
			t.Errorf("%s has %d lines of code, the maximum is %d: move a separate concern to a package of its own", pkg, lines, maxLines)
		}
	}
}
