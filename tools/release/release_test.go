package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// packed returns a release with fake programs.
func packed(t *testing.T) *release {
	t.Helper()
	r := &release{version: "1.2.3", commit: "0123", time: time.Unix(1_800_000_000, 0).UTC(), work: t.TempDir(), out: t.TempDir(),
		files: []file{{name: "LICENSE", data: []byte("licence")}, {name: "README.md", data: []byte("read")},
			{name: "completions/flawless.bash", data: []byte("b")}, {name: "completions/flawless.zsh", data: []byte("z")}, {name: "completions/flawless.fish", data: []byte("f")}},
		third: []byte("others")}
	for _, to := range targets {
		if err := os.MkdirAll(filepath.Dir(r.binary(to)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.binary(to), []byte("program of "+to.String()), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, do := range []func() error{r.archives, r.packages, r.image, r.formula, r.checksums} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestPackingIsReproducible(t *testing.T) {
	t.Parallel()
	a, b := packed(t), packed(t)
	first, err := os.ReadFile(filepath.Join(a.out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(b.out, "SHA256SUMS"))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("%v\n%s\n%s", err, first, second)
	}
	for _, want := range []string{"flawless_1.2.3_linux_amd64.tar.gz", "flawless_1.2.3_windows_arm64.zip", "flawless_1.2.3_darwin_arm64.tar.gz",
		"flawless_1.2.3_linux_arm64.deb", "flawless_1.2.3_linux_amd64.rpm", "flawless_1.2.3_oci.tar", "flawless.rb"} {
		if !strings.Contains(string(first), "  "+want+"\n") {
			t.Errorf("%s was not made:\n%s", want, first)
		}
	}
	// Two packages built in the same second would have equal times anyway.
	deb, err := os.ReadFile(a.name("linux_amd64.deb"))
	if at := "1800000000"; err != nil || string(deb[24:34]) != at { // time of its first file, see ar(5)
		t.Errorf("%v: the package for Debian is of %q, want %s", err, deb[24:34], at)
	}
	rpm, err := os.ReadFile(a.name("linux_amd64.rpm"))
	if at := []byte{0x6b, 0x49, 0xd2, 0x00}; err != nil || bytes.Count(rpm, at) == 0 {
		t.Errorf("%v: the package for Fedora does not have the time of the commit", err)
	}
	formula, err := os.ReadFile(filepath.Join(a.out, "flawless.rb"))
	if err != nil || strings.Count(string(formula), "sha256") != 4 || !strings.Contains(string(formula), "/v1.2.3/flawless_1.2.3_darwin_arm64.tar.gz") {
		t.Errorf("%v\n%s", err, formula)
	}
}

func TestImageMatchesItsDigests(t *testing.T) {
	t.Parallel()
	r := packed(t)
	name := r.name("oci.tar")
	for _, arch := range []string{"amd64", "arm64"} {
		layer, err := readImage(name, arch)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(layer))
		if err != nil {
			t.Fatal(err)
		}
		sizes := map[string]int{}
		for files := tar.NewReader(z); ; {
			h, err := files.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(files)
			sizes[h.Name] = len(b)
			if h.Name == "usr/bin/flawless" && (string(b) != "program of linux_"+arch || h.Mode != 0o755) {
				t.Errorf("%s: %s, %o", arch, b, h.Mode)
			}
			if h.Name == "data/" && (h.Uid != user || h.Mode != 0o700) {
				t.Errorf("%s: /data is of %d, mode %o", arch, h.Uid, h.Mode)
			}
		}
		if sizes["etc/ssl/certs/ca-certificates.crt"] < 50_000 || sizes["usr/share/doc/flawless/LICENSE"] == 0 {
			t.Errorf("%s: %v", arch, sizes)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte(`"StopSignal":"SIGTERM"`))
	b[at+15]++
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readImage(name, "amd64"); err == nil {
		t.Error("a changed image is taken for what it was")
	}
}

func TestBillOfMaterialsListsEveryModule(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "github.com/DataDog/zstd", Version: "v1.5.7", Sum: "h1:ybO8RBeh29qrxIhCA9E8gKY6xfONU9T6G6aP9DTKfLE="},
		{Path: "example.com/x", Version: "v2.0.0+incompatible", Sum: "h1:ybO8RBeh29qrxIhCA9E8gKY6xfONU9T6G6aP9DTKfLE="}}}
	b, err := bill(info, "1.2.3", time.Unix(0, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Metadata     struct{ Component component }
		Components   []component
		Dependencies []dependency
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Metadata.Component.PURL != "pkg:golang/github.com/flawless-engine/flawless@v1.2.3" || len(got.Components) != 3 || len(got.Dependencies[0].On) != 3 {
		t.Errorf("%s", b)
	}
	if c := got.Components[1]; c.PURL != "pkg:golang/github.com/datadog/zstd@v1.5.7" || c.Hashes[0].Content != "c9b3bc4417a1dbdaabc4884203d13c80a63ac5f38d53d4fa1ba68ff434ca7cb1" {
		t.Errorf("%+v", c)
	}
	if p := got.Components[2].PURL; p != "pkg:golang/example.com/x@v2.0.0%2Bincompatible" {
		t.Error(p)
	}
	info.Deps[0].Sum = ""
	if _, err := bill(info, "1.2.3", time.Unix(0, 0)); err == nil {
		t.Error("a module without a checksum is taken")
	}
}

// TestSDKVersionsMatch checks that everything released together has the same version.
func TestSDKVersionsMatch(t *testing.T) {
	t.Parallel()
	r := &release{source: filepath.Join("..", "..")}
	text, err := os.ReadFile(filepath.Join(r.source, "sdk", "go", "workflow.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nconst Version = \"")
	r.version, _, _ = strings.Cut(rest, `"`)
	if err := r.agree(); err != nil {
		t.Error(err)
	}
	r.version = "99.0.0"
	if err := r.agree(); err == nil {
		t.Error("every version is taken")
	}
}

func TestVersionFormat(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"1.2.0": true, "0.1.0-rc.1": true, "v1.2.0": false, "1.2": false, "01.2.0": false, "1.2.0+x": false, "": false, "1.2.0\n": false} {
		if valid.MatchString(version) != want {
			t.Errorf("%q", version)
		}
	}
}

// TestPackagesContainLicence checks the folders of packages for Rust and TypeScript, because each is published as its folder.
func TestPackagesContainLicence(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	want, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"sdk/rust/flawless-sdk", "sdk/rust/flawless-sdk-macros", "sdk/rust/client", "client/ts"} {
		if got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(dir), "LICENSE")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: its LICENSE is not ours (%v)", dir, err)
		}
	}
}
