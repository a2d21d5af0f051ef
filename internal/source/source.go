// Package source puts the source files of a project into its module, and reads them from there. It hides the custom
// section that they are in, and decides which text belongs to a position that a guest or a trace names.
//
// The section is no part of the code: modules with and without it run alike. Modules are not trusted: a section that
// cannot be read counts as none, and reading it takes a bounded amount of memory.
package source

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// Section is the name of the custom section.
const Section = "flawless:source"

// MaxFile and MaxAll are the maximum sizes of a file, and of all files of a module together, in bytes.
const (
	MaxFile = 1 << 20
	MaxAll  = 8 << 20
)

// version is the first byte of the section. A compressed list of files follows.
const version = 1

// file is how a file is written.
type file struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Add returns a module with these files, by name, instead of those that it has. A name is a path with slashes, relative to the
// project. The same files give the same bytes. Files that are not text or above MaxFile are left out, and so are
// the last ones by name when all together are above MaxAll; Add returns the names of what it left out.
func Add(bin []byte, files map[string][]byte) (with []byte, left []string, err error) {
	var list []file
	size := 0
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text := files[name]
		if len(text) > MaxFile || size+len(name)+len(text) > MaxAll || !utf8.Valid(text) {
			left = append(left, name)
			continue
		}
		size += len(name) + len(text)
		list = append(list, file{name, string(text)})
	}
	bin = rewrite.WithoutCustomSection(bin, Section)
	if len(list) == 0 {
		return bin, left, nil
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the sources of a module: %w", err)
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return nil, nil, fmt.Errorf("writing the sources of a module: %w", err)
	}
	content := binary.AppendUvarint(nil, uint64(len(Section)))
	content = append(append(content, Section...), version)
	content = e.EncodeAll(raw, content)
	with = append(slices.Clip(bin), 0) // a custom section
	return append(binary.AppendUvarint(with, uint64(len(content))), content...), left, nil
}

// maxRaw bounds what a section expands to. Escapes can make JSON six times as long as its text.
const maxRaw = 6*MaxAll + 1<<20

// Read returns the files in a module by name, or nil if it has none that can be read.
func Read(bin []byte) []flawless.SourceFile {
	content := rewrite.CustomSection(bin, Section)
	if len(content) == 0 || content[0] != version {
		return nil
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw))
	if err != nil {
		return nil
	}
	defer d.Close()
	raw, err := d.DecodeAll(content[1:], nil)
	var list []file
	if err != nil || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	out := make([]flawless.SourceFile, 0, len(list))
	for _, f := range list {
		if f.Name != "" {
			out = append(out, flawless.SourceFile{Name: f.Name, Lines: lines(f.Text), Text: f.Text})
		}
	}
	slices.SortFunc(out, func(a, b flawless.SourceFile) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func lines(text string) int {
	n := strings.Count(text, "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		n++
	}
	return n
}

// Find returns the file that a name means: the file of that name, or the only one whose path ends in it. Call
// sites have the last two elements of a path.
func Find(files []flawless.SourceFile, name string) (flawless.SourceFile, bool) {
	var found []flawless.SourceFile
	for _, f := range files {
		if f.Name == name {
			return f, true
		}
		if strings.HasSuffix(f.Name, "/"+name) {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		return flawless.SourceFile{}, false
	}
	return found[0], true
}
