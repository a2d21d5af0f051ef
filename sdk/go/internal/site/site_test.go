package site

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackagesOfTheSDKAreNotUserCode walks the SDK, so that a new package cannot show up as a call site or in stacks.
func TestPackagesOfTheSDKAreNotUserCode(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	err := fs.WalkDir(os.DirFS(filepath.Join("..", "..")), ".", func(file string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
			found[path.Join(sdkPath, path.Dir(file))] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found[sdkPath] || !found[sdkPath+"/internal/site"] || !found[sdkPath+"/nethttp"] {
		t.Fatalf("the packages of the SDK are %v", found)
	}
	delete(found, sdkPath+"/flawlesstest") // not in guests
	for pkg := range found {
		for _, function := range []string{pkg + ".f", pkg + ".(*T).m", pkg + ".f[...]"} {
			if !isSDK(function) {
				t.Errorf("%s counts as user code", function)
			}
		}
	}
	for _, function := range []string{"main.f", sdkPath + "_test.f", sdkPath + "/flawlesstest.f", "net/http.(*Client).Do"} {
		if isSDK(function) {
			t.Errorf("%s counts as the SDK", function)
		}
	}
}
