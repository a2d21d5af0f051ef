package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
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

// maxAffected is the maximum number of affected items that a check lists.
const maxAffected = 100

// maxCandidates is the maximum number of runs that are examined for one damaged file.
const maxCandidates = 10_000

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
	found := affected{s: s, all: map[flawless.Affected]bool{}}
	for _, b := range bad {
		c.Damaged = append(c.Damaged, flawless.DamagedFile{File: b.Name, Reason: b.Reason})
		if found.add(ctx, b); err == nil {
			err = ctx.Err()
		}
	}
	c.Affected, c.More = found.list()
	ended := time.Now().UTC()
	c.Ended = &ended
	if err != nil {
		err = fmt.Errorf("checking the store: %w", err)
		c.Error = err.Error()
	}
	return c, err
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

// What to do about items that cannot be read.
const (
	restore   = "restore the working directory from a backup"
	rebuild   = "nothing: they are rebuilt from the runs when they are read"
	addAgain  = "add the same file again with flawless module add"
	replayed  = "nothing: the run is replayed from its log, unless old turns were removed (--keep-turns)"
	forgotten = "nothing: it only tells removed runs from runs that never existed"
)

// kept describes families of keys, except those of runs and of the bytes of modules, which need code.
var kept = []struct {
	key.Family
	kind, todo string
}{
	{key.Format, "format of the store", restore},
	{key.Identity, "identity of the store", restore},
	{key.Lease, "lease", restore},
	{key.Mask, "key of masked values", restore},
	{key.Generation, "generation of the lists", restore},
	{key.Version, "versions of modules", restore},
	{key.Settings, "settings of modules", restore},
	{key.State, "states", restore},
	{key.Schedule, "schedules", restore},
	{key.Secret, "secrets", restore + ", or set them again with flawless secret set"},
	{key.Limit, "limits", restore + ", or set them again with flawless limit set"},
	{key.Gone, "removed runs", forgotten},
	{key.Removal, "runs being removed", restore},
	{key.Check, "last check", "nothing: it is written again"},
}

// ofRuns describes the families whose keys begin with the shard and the id of a run.
var ofRuns = []struct {
	key.Family
	part, todo string
	read       func(ctx context.Context, s *Store, id string) error
}{
	{key.Head, "head", restore + "; until then the run does not continue", func(ctx context.Context, s *Store, id string) error {
		_, err := s.Head(ctx, id)
		return err
	}},
	{key.Record, "log", restore + "; until then the run is quarantined, and flawless workflow terminate ends it", func(ctx context.Context, s *Store, id string) error {
		for _, err := range s.Log(ctx, id, 0) {
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{key.Data, "data", restore, func(ctx context.Context, s *Store, id string) error {
		_, err := s.Data(ctx, id)
		return err
	}},
	{key.Image, "image", replayed, func(ctx context.Context, s *Store, id string) error {
		_, err := s.Image(ctx, id)
		return err
	}},
}

// affected collects what damaged files contain.
type affected struct {
	s   *Store
	all map[flawless.Affected]bool
}

func (a *affected) add(ctx context.Context, b BadFile) {
	for _, f := range kept {
		if r, ok := within(f.Family, b); ok {
			a.note(ctx, flawless.Affected{Kind: f.kind, Todo: f.todo}, a.scan(ctx, r))
		}
	}
	for _, f := range ofRuns {
		r, ok := within(f.Family, b)
		if !ok {
			continue
		}
		for _, id := range a.runs(ctx, f.Family, r) {
			if ctx.Err() != nil {
				return
			}
			if err := f.read(ctx, a.s, id); err != nil || a.has(ctx, f.Of(id), r) {
				a.note(ctx, flawless.Affected{Kind: "run", Name: id, Part: f.part, Todo: f.todo}, err)
			}
		}
	}
	if r, ok := within(key.Binary, b); ok {
		a.modules(ctx, r)
	}
	if b.lists() {
		a.note(ctx, flawless.Affected{Kind: "lists", Todo: rebuild}, a.lists(ctx))
	}
}

// note records an item, and whether it can be read. Items that do not exist are not affected.
func (a *affected) note(ctx context.Context, x flawless.Affected, err error) {
	if !errors.Is(err, flawless.NotFound) && ctx.Err() == nil {
		x.Readable = err == nil
		a.all[x] = true
	}
}

// within returns the part of a damaged range that belongs to a family.
func within(f key.Family, b BadFile) (Range, bool) {
	r := withPrefix(f.Key())
	if bytes.Compare(b.From, r.From) > 0 {
		r.From = b.From
	}
	if bytes.Compare(b.To, r.To) < 0 {
		r.To = b.To
	}
	return r, bytes.Compare(r.From, r.To) < 0
}

// lists reports whether a damaged range may contain rows of an index.
func (b BadFile) lists() bool {
	for f := range 256 {
		if _, ok := within(key.Family(f), b); ok && (key.IsIndex([]byte{byte(f)}) || key.Family(f) == key.Rebuilt) {
			return true
		}
	}
	return false
}

func (a *affected) scan(ctx context.Context, r Range) error {
	for _, err := range a.s.kv.Scan(ctx, r) {
		if err != nil {
			return err
		}
	}
	return nil
}

// lists reads all lists, which rebuilds them if they cannot be read.
func (a *affected) lists(ctx context.Context) error {
	for f := range 256 {
		if k := key.Family(f).Key(); key.IsIndex(k) {
			if err := a.scan(ctx, withPrefix(k)); err != nil {
				return err
			}
		}
	}
	return nil
}

// has reports whether a range contains a key with the prefix k, or might contain one.
func (a *affected) has(ctx context.Context, k key.Key, r Range) bool {
	all := withPrefix(k)
	part := Range{From: slices.MaxFunc([][]byte{all.From, r.From}, bytes.Compare), To: slices.MinFunc([][]byte{all.To, r.To}, bytes.Compare), Limit: 1}
	if bytes.Compare(part.From, part.To) >= 0 {
		return false
	}
	for range a.s.kv.Scan(ctx, part) {
		return true
	}
	return false
}

// runs returns the ids of the runs that may have keys in a range of a family. Since those keys may be unreadable, it
// looks for the runs in other families.
func (a *affected) runs(ctx context.Context, f key.Family, r Range) (ids []string) {
	first, last := key.Owner(r.From), key.Owner(r.To)
	for _, from := range []key.Family{key.Head, key.Record} {
		if from == f {
			continue
		}
		all := withPrefix(from.Key())
		if first != nil {
			all.From = append(from.Key(), first[1:]...)
		}
		if last != nil && key.Family(r.To[0]) == f {
			all.To = append(from.Key(), last[1:]...).End()
		}
		for k := range a.first(ctx, all, key.Owner) {
			p := key.SplitOwned(k)
			if ids = append(ids, p.Text()); len(ids) >= maxCandidates {
				break
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// first yields the beginning of each key in a range once, as cut returns it, until the first one that
// cannot be read.
func (a *affected) first(ctx context.Context, r Range, cut func([]byte) key.Key) iter.Seq[key.Key] {
	return func(yield func(key.Key) bool) {
		r.Limit = 1
		for {
			var k key.Key
			for item, err := range a.s.kv.Scan(ctx, r) {
				if err != nil {
					return
				}
				k = cut(item.Key)
			}
			if k == nil || !yield(k) {
				return
			}
			r.From = k.End()
		}
	}
}

// modules records the modules that have bytes in a range.
func (a *affected) modules(ctx context.Context, r Range) {
	names := map[string][]string{} // by digest, as far as they can be read
	for item, err := range a.s.kv.Scan(ctx, withPrefix(key.Version.Key())) {
		if err != nil {
			break
		}
		if m, err := a.s.version(item); err == nil {
			names[m.Digest] = append(names[m.Digest], fmt.Sprintf("%s version %d", m.Name, m.Version))
		}
	}
	for digest, of := range names {
		if !a.has(ctx, key.Binary.Key().Text(digest), r) {
			continue
		}
		_, err := a.s.Binary(ctx, digest)
		for _, name := range of {
			a.note(ctx, flawless.Affected{Kind: "module", Name: name, Part: "bytes", Todo: addAgain}, err)
		}
	}
	for k := range a.first(ctx, r, key.FirstText) { // of imported runs
		p := key.Split(k, 1)
		digest := p.Text()
		if names[digest] == nil {
			_, err := a.s.Binary(ctx, digest)
			a.note(ctx, flawless.Affected{Kind: "module", Name: fmt.Sprintf("%.12s", digest), Part: "bytes", Todo: addAgain}, err)
		}
	}
}

// list returns at most maxAffected items, and the number of the others.
func (a *affected) list() (all []flawless.Affected, more int) {
	for x := range a.all {
		all = append(all, x)
	}
	slices.SortFunc(all, func(x, y flawless.Affected) int {
		switch {
		case x.Readable != y.Readable && y.Readable:
			return -1
		case x.Readable != y.Readable:
			return 1
		}
		return slices.Compare([]string{x.Kind, x.Name, x.Part}, []string{y.Kind, y.Name, y.Part})
	})
	more = max(len(all)-maxAffected, 0)
	return all[:len(all)-more], more
}
