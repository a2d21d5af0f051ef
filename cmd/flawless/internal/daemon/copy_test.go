package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/transfer"
)

// TestMistypedAddressIsNotQuoted copies a store from and to what is nearly an address. Errors must not contain its password,
// and no directory may be made for it.
func TestMistypedAddressIsNotQuoted(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, address := range []string{
		"mysql://ann:s3cr3t@127.0.0.1:1/db", "POSTGRES://ann:s3cr3t@127.0.0.1:1/db", "postgres:/ann:s3cr3t@127.0.0.1/db",
		"ann:s3cr3t@127.0.0.1/db", "host=127.0.0.1 user=ann password=s3cr3t", "host=127.0.0.1 PASSWORD = s3cr3t password=s3cr3t",
		"postgres://ann:s3%zzcr3t@127.0.0.1:1/db", "postgres://127.0.0.1:1/db?password=s3cr3t&sslmode=no",
	} {
		for _, places := range [][2]Place{{{Address: address}, {Address: "to"}}, {{Address: "from"}, {Address: address}}} {
			_, err := CopyStore(context.Background(), places[0], places[1], false, func(transfer.Report) {})
			if err == nil || strings.Contains(err.Error(), "cr3t") {
				t.Errorf("from %q to %q: %v", places[0].Address, places[1].Address, err)
			}
		}
		if _, err := (Place{Address: address}).open(context.Background(), true); !errors.Is(err, flawless.Invalid) || strings.Contains(err.Error(), "cr3t") {
			t.Errorf("to %q: %v, want %s", address, err, flawless.Invalid)
		}
	}
	if err := os.Mkdir("a:b@c", 0o700); err != nil { // a directory may have any name
		t.Fatal(err)
	}
	if s, err := (Place{Address: "a:b@c"}).open(context.Background(), true); err != nil {
		t.Error(err)
	} else if err := s.KV.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob("*"); len(left) != 1 {
		t.Errorf("there are the directories %q", left)
	}
}
