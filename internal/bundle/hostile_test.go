package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
)

// endless yields the same byte without end.
type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

type file struct {
	name    string
	size    int64
	content io.Reader
	format  tar.Format
	typ     byte
}

// archive returns a bundle of arbitrary files with a valid header.
func archive(t *testing.T, files ...file) []byte {
	t.Helper()
	var rest bytes.Buffer
	z, err := zstd.NewWriter(&rest, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, f := range files {
		if f.typ == 0 {
			f.typ = tar.TypeReg
		}
		err = errors.Join(err, w.WriteHeader(&tar.Header{Name: f.name, Size: f.size, Mode: 0o644, Format: f.format, Typeflag: f.typ}))
		if f.size > 0 && err == nil {
			_, err = io.CopyN(w, f.content, f.size)
		}
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	out := append([]byte(magic), Format)
	out = binary.BigEndian.AppendUint64(out, uint64(rest.Len()))
	sum := sha256.Sum256(rest.Bytes())
	return append(append(out, sum[:]...), rest.Bytes()...)
}

// entries returns the log of a run with n entries of a few bytes each.
func entries(t *testing.T, n int) []byte {
	t.Helper()
	c, err := codec.New()
	if err != nil {
		t.Fatal(err)
	}
	turn := &flawless.Turn{Lines: make([]flawless.Line, n/100)}
	var log bytes.Buffer
	for _, r := range append(sample().Log, slices.Repeat([]flawless.Record{{Entries: []flawless.Entry{{Turn: turn}}}}, 100)...) {
		if err := c.AppendRecord(&log, r); err != nil {
			t.Fatal(err)
		}
	}
	return log.Bytes()
}

// TestReadMemoryIsBoundedByBundleSize reads small files that unpack to much more.
func TestReadMemoryIsBoundedByBundleSize(t *testing.T) {
	log := entries(t, 4_000_000)
	workflows := append(append([]byte(`{"module":{"workflows":[{}`), bytes.Repeat([]byte(",{}"), 5_000_000)...), "]}}"...)
	for name, row := range map[string]struct {
		files []file
		code  flawless.Code
	}{
		"a large part":          {[]file{{name: partLog, size: 900 << 20, content: endless(0)}}, flawless.TooLarge},
		"many parts":            {[]file{{name: partModule, size: 60 << 20, content: endless(0)}, {name: partImage, size: 60 << 20, content: endless(1)}}, flawless.TooLarge},
		"a part twice":          {[]file{{name: partImage, size: 20 << 20, content: endless(0)}, {name: partImage, size: 20 << 20, content: endless(0)}}, flawless.Damaged},
		"an unknown part":       {[]file{{name: "another", size: 20 << 20, content: endless(0)}}, flawless.Damaged},
		"a part with long name": {[]file{{name: strings.Repeat("x", 100_000), size: 1, content: endless(0), format: tar.FormatPAX}}, flawless.Damaged},
		"many workflows":        {[]file{{name: partManifest, size: int64(len(workflows)), content: bytes.NewReader(workflows)}, {name: partLog, size: 1, content: endless(0)}}, flawless.TooLarge},
		"a link":                {[]file{{name: partLog, typ: tar.TypeSymlink}}, flawless.Damaged},
		"lines without content": {[]file{{name: partManifest, size: 2, content: strings.NewReader("{}")}, {name: partLog, size: int64(len(log)), content: bytes.NewReader(log)}}, flawless.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			b := archive(t, row.files...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Read(bytes.NewReader(b))
			runtime.ReadMemStats(&after)
			if !errors.Is(err, row.code) {
				t.Errorf("%v, want %s", err, row.code)
			}
			// Reading grows buffers in steps, so several sizes are allocated.
			if took := int64(after.TotalAlloc - before.TotalAlloc); took > 6*plain(len(b)) {
				t.Errorf("a file of %d bytes took %d MiB of memory", len(b), took>>20)
			}
		})
	}
}

// TestUnreadableBundleIsNotWritten writes a bundle that compresses too well to be read back.
func TestUnreadableBundleIsNotWritten(t *testing.T) {
	b := sample()
	b.Log[0].Entries[0].Start.Input = bytes.Repeat([]byte("0"), int(plain(0))+1<<20)
	if err := Write(io.Discard, b); !errors.Is(err, flawless.TooLarge) {
		t.Errorf("%v, want %s", err, flawless.TooLarge)
	}
	b.Log[0].Entries[0].Start.Input = bytes.Repeat([]byte("0"), 60<<20)
	var out bytes.Buffer
	if err := Write(&out, b); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(&out); err != nil {
		t.Errorf("what was written is not read: %v", err)
	}
}
