package source

import (
	"context"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless"
)

// maxModules is how many modules a Reader remembers the files of.
const maxModules = 16

// Reader finds lines of source in modules. It reads each module once. Its methods may be called concurrently.
type Reader struct {
	binary func(ctx context.Context, digest string) ([]byte, error)

	mu    sync.Mutex
	files map[string][]flawless.SourceFile // by digest
}

// NewReader returns a Reader. binary returns the bytes of a module; one that it cannot read has no source.
func NewReader(binary func(ctx context.Context, digest string) ([]byte, error)) *Reader {
	return &Reader{binary: binary, files: map[string][]flawless.SourceFile{}}
}

// Explain adds the lines of source to both sides of a divergence: logged is the digest of the module that the run was logged with,
// asked of the one that it was replayed with. A module without source adds none. d may be nil.
func (r *Reader) Explain(ctx context.Context, d *flawless.Divergence, logged, asked string) {
	if d == nil {
		return
	}
	if d.Logged != nil {
		d.LoggedLines = Lines(r.of(ctx, logged), *d.Logged)
	}
	if d.Asked != nil {
		d.AskedLines = Lines(r.of(ctx, asked), *d.Asked)
	}
}

// of returns the files of a module.
func (r *Reader) of(ctx context.Context, digest string) []flawless.SourceFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	files, known := r.files[digest]
	if !known && len(r.files) < maxModules {
		if bin, err := r.binary(ctx, digest); err == nil && len(bin) > 0 {
			files = Read(bin)
		}
		r.files[digest] = files
	}
	return files
}

// Lines returns the lines of source that led to a call, from the workflow to the call site, as far as files have them.
func Lines(files []flawless.SourceFile, c flawless.Call) (out []flawless.SourceLine) {
	for _, at := range []string{c.Via, c.Innermost()} {
		site := flawless.ParseSite(at)
		if f, ok := Find(files, site.File); ok && site.Line > 0 {
			if text := lineOf(f.Text, site.Line); text != "" {
				out = append(out, flawless.SourceLine{Site: at, Text: text})
			}
		}
	}
	return out
}

// lineOf returns a line of a text without the space around it, or "".
func lineOf(text string, line int) string {
	n := 0
	for one := range strings.Lines(text) {
		if n++; n == line {
			return strings.TrimSpace(one)
		}
	}
	return ""
}
