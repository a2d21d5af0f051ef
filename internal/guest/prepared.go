package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// prepared is what is found out about a module when it is loaded, as it is kept beside its compiled
// code, so that a server that comes up again has to do neither the rewriting nor the initialising, and
// need not even read the module. It is a cache: a file that is missing, damaged or of another version
// costs the time it has saved.
type prepared struct {
	Rewritten  rewrite.Result // without its code
	Code       codeFile
	Manifest   []byte
	Shared     bool // there is a base image
	Image      []byte
	Sum        [32]byte
	Globals    []uint64
	Generators []uint32
	Timerless  int
}

// preparedFile is where it is kept: by all that it depends on.
func (r *Runtime) preparedFile(digest string) string {
	return filepath.Join(r.options.CacheDir, "prepared", fmt.Sprintf("%s-%d-%d-%s-%d", digest, FrozenFormat, rewrite.Version, flawless.Version, r.options.MemoryPages))
}

// recall returns what is kept of a module, nil where nothing is that can be used.
func (r *Runtime) recall(digest string) *prepared { return recallFile(r.preparedFile(digest)) }

// recallFile is recall for a file.
func recallFile(path string) *prepared {
	b, err := os.ReadFile(path)
	if err != nil || len(b) < 4 {
		return nil
	}
	b, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	p := &prepared{}
	if crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) != sum || gob.NewDecoder(bytes.NewReader(b)).Decode(p) != nil {
		return nil
	}
	return p
}

// remember keeps what was found out. Where it cannot be written, it is not.
func (r *Runtime) remember(m *Module, manifest []byte, kept codeFile) {
	p := prepared{Rewritten: *m.rewritten, Code: kept, Manifest: manifest, Globals: m.globals, Generators: m.generators, Timerless: m.timerless}
	p.Rewritten.Binary = nil
	if m.base != nil {
		p.Shared, p.Image, p.Sum = true, m.base.bytes, m.base.sum
		p.Rewritten.Data = nil // it is in the image
	}
	r.write(m.digest, &p)
}

func (r *Runtime) write(digest string, p *prepared) {
	var b bytes.Buffer
	if gob.NewEncoder(&b).Encode(p) != nil {
		return
	}
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(b.Bytes(), crc32.MakeTable(crc32.Castagnoli))))
	name := r.preparedFile(digest)
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

// Expect loads the module that was loaded last, by whichever process, so that it is there already when it is
// asked for: a server that comes up does it while it opens its store. A module that nobody asks for within
// ten seconds is given back.
func (r *Runtime) Expect(ctx context.Context) {
	files, _ := os.ReadDir(filepath.Dir(r.preparedFile("")))
	var digest string
	var last time.Time
	for _, f := range files {
		d, _, _ := strings.Cut(f.Name(), "-")
		info, err := f.Info()
		if err == nil && f.Name() == filepath.Base(r.preparedFile(d)) && info.ModTime().After(last) {
			digest, last = d, info.ModTime()
		}
	}
	if digest == "" {
		return
	}
	m := r.recalled(ctx, digest)
	if m == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected = m
	time.AfterFunc(10*time.Second, func() {
		if m := r.awaited(digest); m != nil {
			_ = m.Close(context.WithoutCancel(ctx))
		}
	})
}

// awaited takes over the module that Expect has loaded, nil where it is another than that of digest, or
// taken. "" is any.
func (r *Runtime) awaited(digest string) *Module {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.expected
	if m == nil || digest != "" && m.digest != digest {
		return nil
	}
	r.expected = nil
	return m
}

// recalled returns the module of a digest as it was prepared before, nil where anything of it is not as
// it should be.
func (r *Runtime) recalled(ctx context.Context, digest string) *Module {
	if !r.keepsCode() {
		return nil
	}
	if m := r.awaited(digest); m != nil {
		return m
	}
	m, err := r.newModule(digest, nil)
	if err != nil {
		return nil
	}
	p := r.recall(digest)
	if p == nil {
		return nil
	}
	m.rewritten = &p.Rewritten
	if r.check(m.rewritten, false) != nil || m.loadCode(ctx, p.Code) != nil {
		return nil
	}
	if m.adopt(p) != nil {
		_ = m.Close(ctx)
		return nil
	}
	m.rewritten.Hollow = nil
	now := time.Now()
	_ = os.Chtimes(r.preparedFile(digest), now, now) // for Expect
	return m
}

// adopt takes in what was kept in place of initialising.
func (m *Module) adopt(p *prepared) error {
	if err := m.describe(p.Manifest); err != nil {
		return err
	}
	if !p.Shared {
		return nil
	}
	base, err := newImage(p.Image, m.rt.options.copied)
	if err != nil {
		return err
	}
	base.sum = p.Sum
	m.base = base
	m.globals, m.generators, m.pages, m.timerless = p.Globals, p.Generators, uint32(len(p.Image)>>16), p.Timerless
	return nil
}
