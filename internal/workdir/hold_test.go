package workdir

import (
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestWorkingDirectoryIsHeldByOneServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release, _, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Hold(dir); !errors.Is(err, flawless.Conflict) {
		t.Errorf("a second server gets %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, _, err = Hold(dir)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}
