package effect_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

// TestFailuresAreDocumented checks that the table in the documentation equals that in the code.
func TestFailuresAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", "idempotency.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| failure |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")[2:]
	all := effect.FailureModes()
	if len(rows) != len(all) {
		t.Fatalf("the table has %d rows, want %d", len(rows), len(all))
	}
	for i, f := range all {
		does := "| returns the error"
		if f.Passes {
			does = "| retries"
		}
		if !strings.HasPrefix(rows[i], "| `"+f.Name+"` | ") || !strings.Contains(rows[i], does) {
			t.Errorf("row %d is\n%s\nand should be %q: %s", i+1, rows[i], f.Name, does)
		}
	}
}
