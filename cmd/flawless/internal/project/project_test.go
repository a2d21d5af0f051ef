package project

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/gosdk"
)

// TestNewProjectRequiresReleasedSDK, or has a copy of it if the release cannot be downloaded.
func TestNewProjectRequiresReleasedSDK(t *testing.T) {
	const release = "v1.2.3"
	cache := t.TempDir()
	for name, value := range map[string]string{"GOPROXY": "file://" + filepath.ToSlash(proxy(t, release)), "GOSUMDB": "off", "GOMODCACHE": cache,
		"GOFLAGS": "-modcacherw", "GOPRIVATE": "", "GONOPROXY": "", "GOWORK": ""} {
		t.Setenv(name, value)
	}
	for name, row := range map[string]struct {
		release string
		copied  bool
		missing string
	}{
		"released":      {release, false, ""},
		"not released":  {"", true, ""},
		"not available": {"v9.9.9", true, "could not download the SDK v9.9.9"},
	} {
		p := Project{Dir: filepath.Join(t.TempDir(), "shop"), Name: "shop", Release: row.release}
		if err := p.Write(t.Context(), "go"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Missing == nil != (row.missing == "") || p.Missing != nil && !strings.Contains(p.Missing.Error(), row.missing) {
			t.Errorf("%s: missing is %v", name, p.Missing)
		}
		mod, sum := read(t, p.Dir, "go.mod"), read(t, p.Dir, "go.sum")
		_, err := os.Stat(filepath.Join(p.Dir, "third_party"))
		if there := err == nil; there != row.copied || strings.Contains(mod, "replace") != row.copied || strings.Contains(read(t, p.Dir, "README.md"), "third_party") != row.copied {
			t.Errorf("%s: a copy: %v, and go.mod is\n%s", name, there, mod)
		}
		if !row.copied && (!strings.Contains(mod, release) || !strings.Contains(sum, release)) {
			t.Errorf("%s: go.mod is\n%sgo.sum is\n%s", name, mod, sum)
		}
		cmd := exec.Command("go", "list", "-deps", ".")
		cmd.Dir, cmd.Env = p.Dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOPROXY=off")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "sdk/go") {
			t.Errorf("%s: its packages cannot be listed: %v\n%s", name, err, out)
		}
	}
}

func read(t *testing.T, dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// proxy returns a directory that serves as a module proxy with one version of the SDK.
func proxy(t *testing.T, version string) string {
	const module = "github.com/flawless-engine/flawless/sdk/go"
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	var mod []byte
	err := fs.WalkDir(gosdk.Source(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(gosdk.Source(), path)
		if err != nil {
			return err
		}
		if path = strings.TrimSuffix(path, gosdk.Suffix); path == "go.mod" {
			mod = text
		}
		w, err := z.Create(module + "@" + version + "/" + path)
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	})
	if err == nil {
		err = z.Close()
	}
	dir := t.TempDir()
	at := filepath.Join(dir, filepath.FromSlash(module), "@v")
	if err == nil {
		err = os.MkdirAll(at, 0o755)
	}
	for ending, text := range map[string][]byte{".info": fmt.Appendf(nil, `{"Version":%q}`, version), ".mod": mod, ".zip": out.Bytes()} {
		if err == nil {
			err = os.WriteFile(filepath.Join(at, version+ending), text, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
