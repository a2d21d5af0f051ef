package guest

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxStray is how many bytes of compiled code are kept that no prepared module names: that of modules which
// are not prepared, and what an earlier version of the engine has left.
const maxStray = 128 << 20

// Kept returns the digests of the modules whose code is kept on disk.
func (r *Runtime) Kept() (digests []string) {
	for _, f := range r.prepared() {
		digests = append(digests, f.digest)
	}
	return slices.Compact(digests)
}

// keptFile is a file of a prepared module.
type keptFile struct {
	digest, path string
	size         int64
}

// prepared lists them by digest.
func (r *Runtime) prepared() (out []keptFile) {
	if !r.keepsCode() {
		return nil
	}
	dir := filepath.Dir(r.preparedFile(""))
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		digest, _, ok := strings.Cut(f.Name(), "-")
		if info, err := f.Info(); ok && digest != ".new" && err == nil {
			out = append(out, keptFile{digest, filepath.Join(dir, f.Name()), info.Size()})
		}
	}
	return out
}

// codeFiles lists the files of compiled code, newest first.
func (r *Runtime) codeFiles() (paths []string, infos map[string]os.FileInfo) {
	infos = map[string]os.FileInfo{}
	if !r.keepsCode() {
		return nil, infos
	}
	all, _ := filepath.Glob(filepath.Join(r.options.CacheDir, "wazero-*", "*"))
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

// CodeSize is how many bytes compiled code and what else is kept of modules take on disk.
func (r *Runtime) CodeSize() (n int64) {
	for _, f := range r.prepared() {
		n += f.size
	}
	_, infos := r.codeFiles()
	for _, info := range infos {
		n += info.Size()
	}
	return n
}

// RemoveCode removes from disk what is kept of modules that are not needed, and of all modules what other
// versions of the engine have kept, and returns how many bytes that were. It is a cache: a module that is
// loaded at this moment or later, needed or not, is compiled again where its code is gone.
func (r *Runtime) RemoveCode(needed func(digest string) bool) (freed int64) {
	remove := func(path string, size int64) {
		if os.Remove(path) == nil {
			freed += size
		}
	}
	code, infos := r.codeFiles()
	used := map[string]bool{}
	for _, f := range r.prepared() {
		path := ""
		if p := recallFile(f.path); p != nil && p.Code.Name != "" {
			path = filepath.Join(r.options.CacheDir, p.Code.Name)
		}
		if needed(f.digest) && f.path == r.preparedFile(f.digest) {
			used[path] = true
			continue
		}
		remove(f.path, f.size)
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
