package cargo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sources returns the Rust files that a module was compiled from, as cargo lists them in the .d file beside it. It
// takes only those in the workspace: no dependencies from elsewhere or in a directory third_party or vendor, nothing that a build script wrote, and no
// files that the code includes as data. Without a list there are none.
func (c crate) sources(module string) (map[string][]byte, error) {
	text, err := os.ReadFile(strings.TrimSuffix(module, ".wasm") + ".d")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range prerequisites(string(text)) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(c.Root, name)
		}
		within, err := filepath.Rel(c.Root, name)
		if err != nil || !filepath.IsLocal(within) || filepath.Ext(name) != ".rs" || inside(c.Target, name) || vendored(within) {
			continue
		}
		if files[filepath.ToSlash(within)], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// vendored reports whether a file is that of a dependency that was copied into the workspace.
func vendored(name string) bool {
	dirs := strings.Split(filepath.ToSlash(name), "/")
	return slices.Contains(dirs, "third_party") || slices.Contains(dirs, "vendor")
}

func inside(dir, name string) bool {
	within, err := filepath.Rel(dir, name)
	return err == nil && filepath.IsLocal(within)
}

// prerequisites returns the files behind the colons of a makefile as cargo writes it. A space in a name follows a
// backslash.
func prerequisites(text string) (names []string) {
	for line := range strings.Lines(text) {
		_, list, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		const space = "\x00"
		for _, name := range strings.Fields(strings.ReplaceAll(list, `\ `, space)) {
			names = append(names, strings.ReplaceAll(name, space, " "))
		}
	}
	return names
}
