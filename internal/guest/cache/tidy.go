package cache

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxStray is how many bytes of compiled code are kept that no entry names: code of modules without an entry, and
// of other versions of the engine.
const maxStray = 128 << 20

// Digests returns the digests of the modules that are kept.
func (d Dir) Digests() (digests []string) {
	for _, e := range d.entries() {
		digests = append(digests, e.digest)
	}
	return slices.Compact(digests)
}

// entryFile is the file of an entry.
type entryFile struct {
	digest, path string
	size         int64
}

// entries returns all entries by digest.
func (d Dir) entries() (out []entryFile) {
	if d.Path == "" {
		return nil
	}
	dir := filepath.Dir(d.file(""))
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		digest, _, ok := strings.Cut(f.Name(), "-")
		if info, err := f.Info(); ok && digest != ".new" && err == nil {
			out = append(out, entryFile{digest, filepath.Join(dir, f.Name()), info.Size()})
		}
	}
	return out
}

// codeFiles returns all files with compiled code, newest first.
func (d Dir) codeFiles() (paths []string, infos map[string]os.FileInfo) {
	infos = map[string]os.FileInfo{}
	if d.Path == "" {
		return nil, infos
	}
	all, _ := filepath.Glob(filepath.Join(d.Path, "wazero-*", "*"))
	for _, path := range all {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			paths, infos[path] = append(paths, path), info
		}
	}
	slices.SortFunc(paths, func(a, b string) int {
		return cmp.Or(infos[b].ModTime().Compare(infos[a].ModTime()), strings.Compare(a, b))
	})
	return paths, infos
}

// Size returns how many bytes the cache takes on disk.
func (d Dir) Size() (n int64) {
	for _, e := range d.entries() {
		n += e.size
	}
	_, infos := d.codeFiles()
	for _, info := range infos {
		n += info.Size()
	}
	return n
}

// Remove removes the entries and code of modules that are not needed, and those of other versions of the engine, and
// returns how many bytes it has freed. A module that is loaded meanwhile or later, needed or not, is compiled again if
// its code is gone.
func (d Dir) Remove(needed func(digest string) bool) (freed int64) {
	remove := func(path string, size int64) {
		if os.Remove(path) == nil {
			freed += size
		}
	}
	code, infos := d.codeFiles()
	// Modules that differ in their data alone share code.
	used, freeable := map[string]bool{}, map[string]bool{}
	for _, f := range d.entries() {
		path := ""
		if e := read(f.path); e != nil && e.Code.Name != "" {
			path = filepath.Join(d.Path, e.Code.Name)
		}
		if needed(f.digest) && f.path == d.file(f.digest) {
			used[path] = true
			continue
		}
		remove(f.path, f.size)
		freeable[path] = true
	}
	for path := range freeable {
		if info := infos[path]; info != nil && !used[path] {
			remove(path, info.Size())
		}
	}
	var stray int64
	for _, path := range code {
		if used[path] {
			continue
		}
		if stray += infos[path].Size(); stray > maxStray {
			remove(path, infos[path].Size())
		}
	}
	return freed
}

// RemoveAllCode removes all files with compiled code.
func (d Dir) RemoveAllCode() {
	paths, _ := d.codeFiles()
	for _, path := range paths {
		_ = os.Remove(path)
	}
}
