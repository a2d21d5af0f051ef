package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// Dir is a directory with a cache. All methods may be called concurrently. The zero value keeps nothing.
type Dir struct {
	// Path is the directory. "" keeps nothing.
	Path string
	// Version names all that the entry of a module depends on besides its digest.
	Version string
}

// Entry is what is kept of a module.
type Entry struct {
	Rewritten  rewrite.Result // without Binary, and without Data if there is a base image
	Code       Code
	Manifest   []byte
	Shared     bool // there is a base image
	Image      []byte
	Sum        [32]byte // SHA-256 of Image
	Globals    []uint64
	Generators []uint32
	Timerless  int
}

// Code is a file with compiled code.
type Code struct {
	Name string // relative to the directory
	Size int64
}

// file returns where the entry of a module is kept.
func (d Dir) file(digest string) string {
	return filepath.Join(d.Path, "prepared", digest+"-"+d.Version)
}

// Get returns the entry of a module, nil if there is none that can be used.
func (d Dir) Get(digest string) *Entry {
	if d.Path == "" {
		return nil
	}
	return read(d.file(digest))
}

func read(path string) *Entry {
	b, err := os.ReadFile(path)
	if err != nil || len(b) < 4 {
		return nil
	}
	b, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	e := &Entry{}
	if crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) != sum || gob.NewDecoder(bytes.NewReader(b)).Decode(e) != nil {
		return nil
	}
	return e
}

// Put keeps the entry of a module, and replaces an earlier one. If it cannot be written, it is not kept.
func (d Dir) Put(digest string, e *Entry) {
	var b bytes.Buffer
	if d.Path == "" || gob.NewEncoder(&b).Encode(e) != nil {
		return
	}
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(b.Bytes(), crc32.MakeTable(crc32.Castagnoli))))
	name := d.file(digest)
	if os.MkdirAll(filepath.Dir(name), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return
	}
	_, err = f.Write(b.Bytes())
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

// Touch notes that a module is used now; see [Dir.Last].
func (d Dir) Touch(digest string) {
	now := time.Now()
	_ = os.Chtimes(d.file(digest), now, now)
}

// Last returns the digest of the module that was put or touched last, by any process; "" if there is none.
func (d Dir) Last() (digest string) {
	if d.Path == "" {
		return ""
	}
	files, _ := os.ReadDir(filepath.Dir(d.file("")))
	var last time.Time
	for _, f := range files {
		name, _, _ := strings.Cut(f.Name(), "-")
		info, err := f.Info()
		if err == nil && f.Name() == filepath.Base(d.file(name)) && info.ModTime().After(last) {
			digest, last = name, info.ModTime()
		}
	}
	return digest
}

// HasCode reports whether a file with compiled code is there, with the size that it should have.
func (d Dir) HasCode(c Code) bool {
	info, err := os.Stat(filepath.Join(d.Path, c.Name))
	return err == nil && info.Size() == c.Size
}

// FindCode returns the file with compiled code of this name, if there is one.
func (d Dir) FindCode(name string) (c Code, there bool) {
	info, err := os.Stat(filepath.Join(d.Path, name))
	if err != nil || !info.Mode().IsRegular() {
		return Code{}, false
	}
	return Code{Name: name, Size: info.Size()}, true
}

// Workspace returns a new directory beside the cache in which code can be compiled. remove removes it. If the
// process dies first, a later call of Workspace does.
func (d Dir) Workspace() (path string, remove func(), err error) {
	d.removeWorkspaces()
	if path, err = os.MkdirTemp(d.Path, ".code-*"); err != nil {
		return "", nil, err
	}
	return path, func() { _ = os.RemoveAll(path) }, nil
}

// removeWorkspaces removes those of processes that died. A directory in use is younger than an hour.
func (d Dir) removeWorkspaces() {
	left, _ := filepath.Glob(filepath.Join(d.Path, ".code-*"))
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir)
		}
	}
}

// PutCode moves a file with compiled code from a workspace into the cache, under this name.
func (d Dir) PutCode(file, name string) (Code, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Code{}, err
	}
	to := filepath.Join(d.Path, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return Code{}, err
	}
	return Code{Name: name, Size: info.Size()}, os.Rename(file, to)
}
