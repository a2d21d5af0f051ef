// Package bundle reads and writes one run as one file: its log, its module, its frozen image if any, and a manifest.
// It hides the file format (docs/internals/formats.md).
//
// It reads exactly what was written, and refuses damaged, truncated and newer files with the reason. It never runs a
// module.
package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/codec"
)

// Format is the format number of written files. Lower ones can be read.
const Format = flawless.BundleFormat

// Max is the maximum file size in bytes. The unpacked size is limited too, so that a small file cannot take much
// memory: a file of n bytes unpacks to at most freePlain + perByte*n bytes, up to maxPlain, and to a log of at most
// freeItems + n lists and structs.
const (
	Max       = 256 << 20
	maxPlain  = 1 << 30
	freePlain = 64 << 20
	perByte   = 32
	freeItems = 100_000
	maxWindow = 32 << 20 // of the decompressor
)

// plain returns the maximum unpacked size of a file of n bytes.
func plain(n int) int64 { return min(maxPlain, freePlain+perByte*int64(n)) }

var errPlain = fmt.Errorf("it unpacks to more than %d MiB and %d times its size; export less of the run, e.g. with --log-only: %w", freePlain>>20, perByte, flawless.TooLarge)

const magic = "flawless"

// head is the length of the header: magic, format, and length and SHA-256 of the rest.
const head = len(magic) + 1 + 8 + sha256.Size

// Bundle is a run with everything that belongs to it.
type Bundle struct {
	Manifest Manifest
	Module   []byte // nil if the bundle has only the log
	Log      []flawless.Record
	Image    *store.Image // nil if there is none
}

// Manifest describes the content of a bundle.
type Manifest struct {
	Format         int             `json:"format"`
	Engine         string          `json:"engine"` // version of the server that wrote it
	LogFormat      int             `json:"log_format"`
	GuestInterface int             `json:"guest_interface"`
	Run            flawless.Run    `json:"run"`
	Module         flawless.Module `json:"module"`             // name and digest; version 0 if unknown
	Redacted       []string        `json:"redacted,omitempty"` // redaction rules, see redact.NewRedaction
}

// Names of the parts.
const (
	partManifest = "manifest.json"
	partModule   = "module.wasm"
	partLog      = "log"
	partImage    = "image"
)

// Read reads a bundle. It returns flawless.Conflict for a newer format, flawless.Invalid for other files, and
// flawless.Damaged for a truncated or modified bundle.
func Read(r io.Reader) (Bundle, error) {
	b, err := read(r)
	if err != nil {
		return Bundle{}, fmt.Errorf("reading a bundle: %w", err)
	}
	return b, nil
}

func read(r io.Reader) (Bundle, error) {
	all, err := io.ReadAll(io.LimitReader(r, Max+1))
	switch {
	case err != nil:
		return Bundle{}, err
	case len(all) > Max:
		return Bundle{}, fmt.Errorf("it is larger than the limit of %d MiB: %w", Max>>20, flawless.TooLarge)
	case len(all) < len(magic) || string(all[:len(magic)]) != magic:
		return Bundle{}, fmt.Errorf("it is not a bundle; export one with: flawless workflow export: %w", flawless.Invalid)
	case len(all) < head:
		return Bundle{}, fmt.Errorf("it is truncated after %d bytes; export it again: %w", len(all), flawless.Damaged)
	case all[len(magic)] > Format:
		return Bundle{}, fmt.Errorf("its format is %d, this version of flawless (%s) knows formats up to %d: use a newer one: %w", all[len(magic)], flawless.Version, Format, flawless.Conflict)
	case all[len(magic)] == 0:
		return Bundle{}, fmt.Errorf("its format is 0, which does not exist; export it again: %w", flawless.Damaged)
	}
	size := binary.BigEndian.Uint64(all[len(magic)+1:])
	want, rest := all[head-sha256.Size:head], all[head:]
	if uint64(len(rest)) < size {
		return Bundle{}, fmt.Errorf("it is truncated: it has %d of %d bytes; copy or export it again: %w", len(all), uint64(head)+size, flawless.Damaged)
	}
	if sum := sha256.Sum256(rest); uint64(len(rest)) > size || !bytes.Equal(sum[:], want) {
		return Bundle{}, fmt.Errorf("its checksum is wrong, so it was changed after it was written; copy or export it again: %w", flawless.Damaged)
	}
	return unpack(rest)
}

func unpack(rest []byte) (Bundle, error) {
	var b Bundle
	z, err := zstd.NewReader(bytes.NewReader(rest), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return b, err
	}
	defer z.Close()
	limit := io.LimitedReader{R: z, N: plain(len(rest)) + 1}
	parts := map[string][]byte{}
	for t := tar.NewReader(&limit); ; {
		h, err := t.Next()
		if err == nil {
			err = part(h, parts)
		}
		if err == nil && h.Size < limit.N {
			parts[h.Name], err = io.ReadAll(t)
		} else if err == nil {
			return b, errPlain
		}
		switch {
		case limit.N == 0:
			return b, errPlain
		case h == nil && errors.Is(err, io.EOF):
			return b, b.take(parts, freeItems+len(rest))
		case err != nil:
			return b, fmt.Errorf("it cannot be unpacked: %v: %w", err, flawless.Damaged)
		}
	}
}

// part returns an error if the archive has an entry that Write does not write. That includes holes, which take no
// bytes in the archive.
func part(h *tar.Header, parts map[string][]byte) error {
	_, twice := parts[h.Name]
	switch {
	case !slices.Contains([]string{partManifest, partModule, partLog, partImage}, h.Name):
		return fmt.Errorf("it has the unknown part %.100q", h.Name)
	case twice:
		return fmt.Errorf("it has its part %q twice", h.Name)
	case h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR:
		return fmt.Errorf("its part %q is not a plain file", h.Name)
	}
	return nil
}

// take fills the bundle from its parts.
func (b *Bundle) take(parts map[string][]byte, maxItems int) error {
	c, err := codec.New()
	if err != nil {
		return err
	}
	if n := values(parts[partManifest]); n > maxItems {
		return fmt.Errorf("its manifest has %d values, which is more than a bundle of its size may have (%d): %w", n, maxItems, flawless.TooLarge)
	}
	if err := json.Unmarshal(parts[partManifest], &b.Manifest); err != nil {
		return fmt.Errorf("its manifest cannot be read: %v: %w", err, flawless.Damaged)
	}
	if b.Log, err = c.UnmarshalLog(parts[partLog], maxItems); err != nil {
		return err
	}
	if image, there := parts[partImage]; there {
		b.Image = new(store.Image)
		if err := c.Decode(image, b.Image); err != nil {
			return fmt.Errorf("its image: %w", err)
		}
	}
	if b.Module = parts[partModule]; b.Module != nil {
		if sum := sha256.Sum256(b.Module); hex.EncodeToString(sum[:]) != b.Manifest.Module.Digest {
			return fmt.Errorf("its module is not the one that its manifest names: %w", flawless.Damaged)
		}
	}
	return b.check()
}

// values counts JSON values by their separators before decoding, because a decoded value may take hundreds of times
// its encoded size.
func values(text []byte) int {
	n, quoted := 1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// check returns an error if the log cannot belong to a run.
func (b *Bundle) check() error {
	if len(b.Log) == 0 || len(b.Log[0].Entries) == 0 || b.Log[0].Entries[0].Start == nil {
		return fmt.Errorf("its log does not begin with a start: %w", flawless.Damaged)
	}
	s := b.Log[0].Entries[0].Start
	if len(s.Seed) != 32 || s.Module == "" || s.Workflow == "" {
		return fmt.Errorf("the start in its log is not complete: %w", flawless.Damaged)
	}
	return flawless.CheckID(b.Manifest.Run.ID)
}
