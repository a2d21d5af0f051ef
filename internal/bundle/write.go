package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/codec"
)

// Export is a bundle to write whose log stays in the store: the log is read twice, one record at a time.
type Export struct {
	Manifest Manifest
	Module   []byte       // nil leaves it out
	Image    *store.Image // nil if there is none
	Redact   []string     // redaction rules, see redact.NewRedaction

	// Log yields the records. The second time it may yield additional ones; other differences are an error.
	Log func() iter.Seq2[flawless.Record, error]
}

// File is the target of a bundle, whose header is written last.
type File interface {
	io.Writer
	io.WriterAt
}

// Write writes a bundle. Equal bundles have equal bytes.
func Write(w io.Writer, b Bundle) error {
	var file memory
	if _, err := (Export{Manifest: b.Manifest, Module: b.Module, Image: b.Image, Log: all(b.Log)}).Write(&file); err != nil {
		return err
	}
	_, err := w.Write(file.Bytes())
	return err
}

// memory is a File in memory.
type memory struct{ bytes.Buffer }

// WriteAt implements io.WriterAt for bytes that have been written.
func (m *memory) WriteAt(b []byte, at int64) (int, error) { return copy(m.Bytes()[at:], b), nil }

// all yields a log from memory.
func all(log []flawless.Record) func() iter.Seq2[flawless.Record, error] {
	return func() iter.Seq2[flawless.Record, error] {
		return func(yield func(flawless.Record, error) bool) {
			for _, rec := range log {
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

// Write writes the bundle to an empty file and returns its size. It returns flawless.TooLarge if the bundle could not
// be read back. After an error the file is not a bundle.
func (x Export) Write(f File) (size int64, err error) {
	fail := func(err error) (int64, error) {
		return 0, fmt.Errorf("writing the bundle of run %s: %w", x.Manifest.Run.ID, err)
	}
	if _, err := f.Write(make([]byte, head)); err != nil {
		return fail(err)
	}
	rest := &counted{w: f, sum: sha256.New()}
	if err := x.pack(rest); err != nil {
		return fail(err)
	}
	out := append(make([]byte, 0, head), magic...)
	out = append(out, Format)
	out = binary.BigEndian.AppendUint64(out, uint64(rest.n))
	if _, err := f.WriteAt(rest.sum.Sum(out), 0); err != nil {
		return fail(err)
	}
	return int64(head) + rest.n, nil
}

// counted counts and hashes the bytes written, and fails above the maximum.
type counted struct {
	w   io.Writer
	n   int64
	sum hash.Hash
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	if c.n += int64(len(b)); c.n > Max-int64(head) {
		return 0, fmt.Errorf("it is larger than %d MiB, the limit for imports; omit the module with --log-only: %w", Max>>20, flawless.TooLarge)
	}
	c.sum.Write(b)
	return c.w.Write(b)
}

// pack writes the compressed archive of the parts.
func (x Export) pack(rest *counted) error {
	c, err := codec.New()
	if err != nil {
		return err
	}
	o, err := x.plan(c)
	if err != nil {
		return err
	}
	m := o.Manifest
	m.Format, m.Engine, m.LogFormat, m.GuestInterface = Format, flawless.Version, flawless.LogFormat, flawless.GuestInterface
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	var image bytes.Buffer
	if o.Image != nil {
		if err := c.Encode(&image, o.Image); err != nil {
			return err
		}
	}
	z, err := zstd.NewWriter(rest, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	t, unpacked := tar.NewWriter(z), int64(0)
	part := func(name string, size int64, write func() error) {
		if size == 0 || err != nil {
			return
		}
		err = t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Format: tar.FormatUSTAR})
		if err == nil {
			err = write()
		}
		unpacked += size + 3*512 // header and padding of the last block
	}
	whole := func(b []byte) func() error {
		return func() error { _, err := t.Write(b); return err }
	}
	part(partManifest, int64(len(manifest)), whole(manifest))
	part(partModule, int64(len(o.Module)), whole(o.Module))
	part(partLog, o.size, func() error { return o.writeLog(c, t) })
	part(partImage, int64(image.Len()), whole(image.Bytes()))
	if err != nil {
		return errors.Join(err, z.Close())
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return err
	}
	if n := int(rest.n); unpacked > plain(n) || values(manifest) > freeItems+n {
		return errPlain
	}
	return nil
}

// plan is an Export whose log has been read once.
type plan struct {
	Export
	redact  *redact.Redaction // nil leaves the log unchanged
	records int
	size    int64 // bytes of the written log
}

// plan reads the log to determine its written size and whether anything is redacted. If so, the image is dropped,
// because it contains the values.
func (x Export) plan(c codec.Codec) (plan, error) {
	o := plan{Export: x}
	r, err := redact.NewRedaction(x.Redact)
	if err != nil {
		return o, err
	}
	var buffer bytes.Buffer
	var before, after int64
	length := func(rec flawless.Record) (int64, error) {
		buffer.Reset()
		err := c.AppendRecord(&buffer, rec)
		return int64(buffer.Len()), err
	}
	changed, received := false, false
	for rec, err := range x.Log() {
		if err != nil {
			return o, err
		}
		o.records++
		n, err := length(rec)
		if err != nil {
			return o, err
		}
		before += n
		if len(x.Redact) > 0 {
			less, change, given := redacted(r, rec)
			if change {
				if n, err = length(less); err != nil {
					return o, err
				}
			}
			changed, received = changed || change, received || given
		}
		after += n
	}
	run := x.Manifest.Run
	run.Output, run.Failure, run.Problem = r.JSON(run.Output), r.Failure(run.Failure), r.Text(run.Problem)
	run.Unresolved = slices.Clone(run.Unresolved)
	for i, d := range run.Unresolved {
		d.Request, d.Reason = r.Text(d.Request), r.Text(d.Reason)
		run.Unresolved[i] = d
	}
	run.Retrying = slices.Clone(run.Retrying)
	for i, c := range run.Retrying {
		c.Request, c.Reason = r.Text(c.Request), r.Text(c.Reason)
		run.Retrying[i] = c
	}
	if run.Waiting != nil {
		w := *run.Waiting
		w.Name = r.Text(w.Name)
		run.Waiting = &w
	}
	what := x.Redact
	named := slices.ContainsFunc(what, func(p string) bool { return !strings.HasPrefix(p, "mask:") && !strings.HasPrefix(p, "salt:") })
	if !changed && !named && reflect.DeepEqual(run, x.Manifest.Run) {
		o.size = before // nothing to redact
		return o, nil
	}
	if received && !named && !slices.Contains(what, "mask:"+redact.Received) {
		what = append(slices.Clone(what), "mask:"+redact.Received)
	}
	o.redact, o.size = &r, after
	o.Manifest.Redacted, o.Manifest.Run, o.Image = what, run, nil
	return o, nil
}

// redacted returns a record with its values redacted: inputs, outputs, bodies, messages, data, log fields, headers,
// and URL parameters. It reports whether the record changed, and whether something changed that the run received.
func redacted(r redact.Redaction, rec flawless.Record) (less flawless.Record, changed, received bool) {
	less = rec
	less.Entries = make([]flawless.Entry, len(rec.Entries))
	for i, before := range rec.Entries {
		less.Entries[i] = r.Entry(before)
		if !reflect.DeepEqual(before, less.Entries[i]) {
			changed = true
			received = received || before.Start != nil || before.Arrival != nil || before.Message != nil || before.Decision != nil
		}
	}
	return less, changed, received
}

var errMoved = fmt.Errorf("old turns of the log were removed while it was read (--keep-turns); export it again: %w", flawless.Conflict)

// writeLog writes the records that the first reading found.
func (o plan) writeLog(c codec.Codec, w io.Writer) error {
	var buffer bytes.Buffer
	left, records := o.size, 0
	for rec, err := range o.Log() {
		if err != nil {
			return err
		}
		if records == o.records {
			break
		}
		records++
		if o.redact != nil {
			rec, _, _ = redacted(*o.redact, rec)
		}
		buffer.Reset()
		if err := c.AppendRecord(&buffer, rec); err != nil {
			return err
		}
		if left -= int64(buffer.Len()); left < 0 {
			return errMoved
		}
		if _, err := w.Write(buffer.Bytes()); err != nil {
			return err
		}
	}
	if left != 0 || records != o.records {
		return errMoved
	}
	return nil
}

// Bundle returns the bundle with its log in memory.
func (x Export) Bundle() (Bundle, error) {
	c, err := codec.New()
	if err != nil {
		return Bundle{}, err
	}
	o, err := x.plan(c)
	if err != nil {
		return Bundle{}, err
	}
	b := Bundle{Manifest: o.Manifest, Module: o.Module, Image: o.Image}
	for rec, err := range x.Log() {
		if err != nil {
			return b, err
		}
		if len(b.Log) == o.records {
			break
		}
		if o.redact != nil {
			rec, _, _ = redacted(*o.redact, rec)
		}
		b.Log = append(b.Log, rec)
	}
	return b, nil
}
