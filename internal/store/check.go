package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/damage"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// FileChecker is a [KV] that can verify the checksums of its files.
type FileChecker interface {
	// CheckFiles reads all files of the database and returns those that are damaged. It returns an error if it
	// could not read them all.
	CheckFiles(ctx context.Context, o CheckFiles) ([]BadFile, error)
}

// CheckFiles has the options of a check.
type CheckFiles struct {
	Rate     func() int64            // current limit in bytes per second; nil is unlimited
	Progress func(read, total int64) // called repeatedly; may be nil
}

// BadFile is a damaged file. Some of the keys From (inclusive) to To (exclusive) are in its damaged part.
type BadFile struct {
	Name, Reason string
	From, To     []byte
}

// CanCheck reports whether the database has files that can be checked.
func (s *Store) CanCheck() bool {
	_, ok := s.kv.KV.(FileChecker)
	return ok
}

// Check reads all files of the database, and finds out what the damaged ones contain. It rebuilds lists that cannot be
// read. If it cannot read everything, it returns an error together with what it has found.
func (s *Store) Check(ctx context.Context, o CheckFiles) (flawless.StoreCheck, error) {
	c := flawless.StoreCheck{Began: time.Now().UTC()}
	checker, ok := s.kv.KV.(FileChecker)
	if !ok {
		return c, fmt.Errorf("checking the store: this kind of database has no files of its own; use the checks that the database offers: %w", flawless.Invalid)
	}
	progress := o.Progress
	o.Progress = func(read, total int64) {
		c.Read, c.Total = read, total
		if progress != nil {
			progress(read, total)
		}
	}
	bad, err := checker.CheckFiles(ctx, o)
	found := damage.New(contents{s})
	for _, b := range bad {
		c.Damaged = append(c.Damaged, flawless.DamagedFile{File: b.Name, Reason: b.Reason})
		if found.Add(ctx, b.From, b.To); err == nil {
			err = ctx.Err()
		}
	}
	c.Affected, c.More = found.Affected()
	ended := time.Now().UTC()
	c.Ended = &ended
	if err != nil {
		err = fmt.Errorf("checking the store: %w", err)
		c.Error = err.Error()
	}
	return c, err
}

// contents lets package damage read the store.
type contents struct{ s *Store }

// Keys implements damage.Contents.
func (c contents) Keys(ctx context.Context, from, to []byte, limit int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for item, err := range c.s.kv.Scan(ctx, Range{From: from, To: to, Limit: limit}) {
			if !yield(item.Key, err) {
				return
			}
		}
	}
}

// Run implements damage.Contents.
func (c contents) Run(ctx context.Context, f key.Family, id string) (err error) {
	switch f {
	case key.Head:
		_, err = c.s.Head(ctx, id)
	case key.Record:
		for _, err := range c.s.Log(ctx, id, 0) {
			if err != nil {
				return err
			}
		}
	case key.Data:
		_, err = c.s.Data(ctx, id)
	case key.Image:
		_, err = c.s.Image(ctx, id)
	default:
		err = fmt.Errorf("reading run %s: its rows in family %c cannot be checked: %w", id, f, flawless.Invalid)
	}
	return err
}

// Modules implements damage.Contents.
func (c contents) Modules(ctx context.Context) iter.Seq[flawless.Module] {
	return func(yield func(flawless.Module) bool) {
		for item, err := range c.s.kv.Scan(ctx, withPrefix(key.Version.Key())) {
			if err != nil {
				break
			}
			if m, err := c.s.version(item); err == nil && !yield(m) {
				return
			}
		}
		for item, err := range c.s.kv.Scan(ctx, withPrefix(key.Head.Key())) {
			if err != nil {
				return
			}
			var h Head
			if c.s.codec.Decode(item.Value, &h) == nil && !yield(flawless.Module{Digest: h.Run.Digest}) {
				return
			}
		}
	}
}

// Binary implements damage.Contents.
func (c contents) Binary(ctx context.Context, digest string) error {
	_, err := c.s.Binary(ctx, digest)
	return err
}

// PutCheck stores the result of a check. It returns [flawless.Fenced] if l owns no shard. A crash in the
// middle leaves the old or the new result.
func (s *Store) PutCheck(ctx context.Context, l *Lease, c flawless.StoreCheck) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = s.underAny(ctx, l, func(d *draft) error { return d.setRaw(s.codec, key.Check.Key(), text) })
	}
	if err != nil {
		return fmt.Errorf("writing the result of the check of the store: %w", err)
	}
	return nil
}

// LastCheck returns the result of the last completed check, or [flawless.NotFound].
func (s *Store) LastCheck(ctx context.Context) (c flawless.StoreCheck, err error) {
	text, err := s.getRaw(ctx, key.Check.Key(), "check of the store")
	if err == nil {
		if err = json.Unmarshal(text, &c); err != nil {
			err = fmt.Errorf("reading the result of the last check of the store: %v: %w", err, flawless.Damaged)
		}
	}
	return c, err
}
