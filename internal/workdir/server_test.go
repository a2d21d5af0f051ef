package workdir

import (
	"os"
	"path/filepath"
	"testing"
)

func TestServerIsFoundByItsDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if s, err := FindServer(dir); s != nil || err != nil {
		t.Fatalf("before there is one it is %+v, %v", s, err)
	}
	for range 2 { // the second one replaces one that was killed
		withdraw, err := Announce(dir, Server{Store: "sto_1", UDP: "127.0.0.1:1", TCP: "127.0.0.1:2"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := FindServer(dir)
		if err != nil || s == nil || s.Store != "sto_1" || s.UDP != "127.0.0.1:1" || s.TCP != "127.0.0.1:2" || s.PID != os.Getpid() {
			t.Fatalf("it is %+v, %v", s, err)
		}
		info, err := os.Stat(filepath.Join(dir, serverName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v, %v", info.Mode(), err)
		}
		renamed := dir + "-renamed"
		if err := os.Rename(dir, renamed); err != nil {
			t.Fatal(err)
		}
		if s, err := FindServer(renamed); s == nil || err != nil {
			t.Errorf("in a renamed directory it is %+v, %v", s, err)
		}
		if err := os.Rename(renamed, dir); err != nil {
			t.Fatal(err)
		}
		clone := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(clone, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if s, err := FindServer(clone); s != nil || err != nil {
			t.Errorf("in a copy it is %+v, %v", s, err)
		}
		t.Cleanup(func() {
			if err := withdraw(); err != nil {
				t.Error(err)
			}
			if s, err := FindServer(dir); s != nil || err != nil {
				t.Errorf("after its end it is %+v, %v", s, err)
			}
		})
	}
}

func TestUnknownAddressFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, text := range []string{"", "{", `{"format":2}`} {
		if err := os.WriteFile(filepath.Join(dir, serverName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := FindServer(dir); err == nil {
			t.Errorf("%q is %+v", text, s)
		}
	}
}
