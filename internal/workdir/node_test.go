package workdir

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLastNodeIsOnlyKnownInItsOwnDirectory(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	last := func(dir, want string) {
		t.Helper()
		if id, err := LastNode(dir); err != nil || id != want {
			t.Errorf("the last node of %s is %q, %v; want %q", dir, id, err, want)
		}
	}
	last(dir, "")
	for _, id := range []string{"nod_1", "nod_2"} {
		if err := NoteNode(dir, id); err != nil {
			t.Fatal(err)
		}
		last(dir, id)
	}
	text, err := os.ReadFile(filepath.Join(dir, nodeName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(elsewhere, nodeName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	last(elsewhere, "") // its node may be alive
	if err := ForgetNode(dir); err != nil {
		t.Fatal(err)
	}
	last(dir, "")
}
