package cache

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// keep puts an entry with code of that many bytes.
func keep(t *testing.T, d Dir, digest string, size int) Code {
	t.Helper()
	work, remove, err := d.Workspace()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	file := filepath.Join(work, "code")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	code, err := d.PutCode(file, filepath.Join("wazero-v1", digest))
	if err != nil {
		t.Fatal(err)
	}
	d.Put(digest, &Entry{Code: code, Manifest: []byte(digest)})
	return code
}

func TestEntryIsReadBack(t *testing.T) {
	t.Parallel()
	d := Dir{Path: t.TempDir(), Version: "1"}
	want := &Entry{Manifest: []byte("{}"), Shared: true, Image: []byte{1, 2}, Globals: []uint64{3}, Code: Code{"wazero-v1/a", 7}}
	d.Put("a", want)
	if got := d.Get("a"); !reflect.DeepEqual(got, want) {
		t.Errorf("put %+v, got %+v", want, got)
	}
	for name, other := range map[string]Dir{"another version": {Path: d.Path, Version: "2"}, "no directory": {Version: "1"}} {
		if e := other.Get("a"); e != nil {
			t.Errorf("%s has the entry %+v", name, e)
		}
	}
}

func TestRemoveKeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	d := Dir{Path: t.TempDir(), Version: "1"}
	code := map[string]Code{}
	for _, digest := range []string{"a", "b", "c"} {
		code[digest] = keep(t, d, digest, 1000)
	}
	old := Dir{Path: d.Path, Version: "0"}
	keep(t, old, "old", 500)
	before := d.Size()
	freed := d.Remove(func(digest string) bool { return digest == "b" || digest == "old" })
	if freed < 2500 || d.Size() != before-freed {
		t.Errorf("%d of %d bytes are freed, and %d are left", freed, before, d.Size())
	}
	if got := d.Digests(); !slices.Equal(got, []string{"b"}) || !d.HasCode(code["b"]) || d.HasCode(code["a"]) {
		t.Errorf("%v are left", got)
	}
	if d.HasCode(Code{code["b"].Name, 999}) {
		t.Error("code of another size is accepted")
	}
}

func TestLastReturnsMostRecentlyUsedModule(t *testing.T) {
	t.Parallel()
	d := Dir{Path: t.TempDir(), Version: "1"}
	if got := d.Last(); got != "" {
		t.Errorf("the last of none is %q", got)
	}
	long := time.Now().Add(-time.Hour)
	for _, digest := range []string{"a", "b"} {
		d.Put(digest, &Entry{})
		if err := os.Chtimes(d.file(digest), long, long); err != nil {
			t.Fatal(err)
		}
	}
	d.Touch("a")
	if got := d.Last(); got != "a" {
		t.Errorf("the last is %q, want a", got)
	}
}
