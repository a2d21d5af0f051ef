// Package damage finds out what damaged files of a database contain: which runs, modules and settings are affected, whether
// they can still be read, and what to do about them.
//
// It knows which family of keys has what, and finds the runs of a range whose own keys cannot be read. It guarantees that
// everything with a row in a damaged range is listed, and so is what may have had one if the range cannot be read. It changes nothing, except
// that reading the lists of runs lets the store rebuild them.
package damage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Contents reads a store. Errors wrap [flawless.Damaged] for what cannot be read, and [flawless.NotFound] for what does not
// exist.
type Contents interface {
	// Keys yields the keys from one (inclusive) to another (exclusive; nil is the end) in order, at most limit unless
	// that is zero. It reads their values too. A key is valid until the next one is yielded. It stops after an error.
	Keys(ctx context.Context, from, to []byte, limit int) iter.Seq2[[]byte, error]

	// Run reads what a run has in a family whose keys begin with the shard and the id of a run.
	Run(ctx context.Context, f key.Family, id string) error

	// Modules yields the versions of all modules that can be read, and then, without name and version, the modules of
	// all runs that can be read, with repetitions.
	Modules(ctx context.Context) iter.Seq[flawless.Module]

	// Binary reads the bytes of a module.
	Binary(ctx context.Context, digest string) error
}

// maxAffected is the maximum number of affected items that a check lists.
const maxAffected = 100

// maxCandidates is the maximum number of runs that are examined for one damaged file.
const maxCandidates = 10_000

// Search collects what damaged files contain. It must not be used concurrently.
type Search struct {
	in  Contents
	all map[flawless.Affected]bool
}

// New returns a search that has found nothing yet.
func New(in Contents) *Search { return &Search{in: in, all: map[flawless.Affected]bool{}} }

// Add adds what has keys in a damaged range, from (inclusive) to to (exclusive). It stops early when ctx ends.
func (s *Search) Add(ctx context.Context, from, to []byte) {
	bad := span{from, to}
	for _, f := range kept {
		if r, ok := bad.of(f.Family); ok {
			if rows, err := s.scan(ctx, r); rows || err != nil {
				s.note(ctx, flawless.Affected{Kind: f.kind, Todo: f.todo}, err)
			}
		}
	}
	for _, f := range ofRuns {
		r, ok := bad.of(f.Family)
		if !ok {
			continue
		}
		for _, id := range s.runs(ctx, f.Family, r) {
			if ctx.Err() != nil {
				return
			}
			if err := s.in.Run(ctx, f.Family, id); err != nil || s.has(ctx, f.Of(id), r) {
				s.note(ctx, flawless.Affected{Kind: "run", Name: id, Part: f.part, Todo: f.todo}, err)
			}
		}
	}
	if r, ok := bad.of(key.Binary); ok {
		s.modules(ctx, r)
	}
	if slices.ContainsFunc(lists, func(f key.Family) bool { _, ok := bad.of(f); return ok }) {
		s.note(ctx, flawless.Affected{Kind: "lists", Todo: rebuild}, s.lists(ctx))
	}
}

// Affected returns what was found, unreadable items first: at most 100 items, and the number of the others.
func (s *Search) Affected() (all []flawless.Affected, more int) {
	for x := range s.all {
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

// note records an item, and whether it can be read. Items that do not exist are not affected.
func (s *Search) note(ctx context.Context, x flawless.Affected, err error) {
	if !errors.Is(err, flawless.NotFound) && ctx.Err() == nil {
		x.Readable = err == nil
		s.all[x] = true
	}
}

// span is a range of keys, from one (inclusive) to another (exclusive; nil is the end).
type span struct{ from, to []byte }

// below returns the span of all keys with the prefix k.
func below(k key.Key) span { return span{k, k.End()} }

// of returns the part of a span that belongs to a family.
func (r span) of(f key.Family) (span, bool) { return r.cut(below(f.Key())) }

// cut returns what two spans with an end have in common.
func (r span) cut(other span) (span, bool) {
	both := span{slices.MaxFunc([][]byte{r.from, other.from}, bytes.Compare), slices.MinFunc([][]byte{r.to, other.to}, bytes.Compare)}
	return both, bytes.Compare(both.from, both.to) < 0
}

// scan reads everything in a span. It returns whether there is anything, as far as it can be read.
func (s *Search) scan(ctx context.Context, r span) (rows bool, err error) {
	for _, err := range s.in.Keys(ctx, r.from, r.to, 0) {
		if err != nil {
			return rows, err
		}
		rows = true
	}
	return rows, nil
}

// lists reads all lists, which rebuilds them if they cannot be read.
func (s *Search) lists(ctx context.Context) error {
	for _, f := range key.Indexes() {
		if _, err := s.scan(ctx, below(f.Key())); err != nil {
			return err
		}
	}
	return nil
}

// has reports whether a span contains a key with the prefix k, or might contain one.
func (s *Search) has(ctx context.Context, k key.Key, r span) bool {
	both, ok := r.cut(below(k))
	if !ok {
		return false
	}
	for range s.in.Keys(ctx, both.from, both.to, 1) {
		return true
	}
	return false
}

// runs returns the ids of the runs that may have keys in a span of a family. Since those keys may be unreadable, it looks
// for the runs in other families.
func (s *Search) runs(ctx context.Context, f key.Family, r span) (ids []string) {
	first, last := key.Owner(r.from), key.Owner(r.to)
	for _, other := range []key.Family{key.Head, key.Record} {
		if other == f {
			continue
		}
		all := below(other.Key())
		if first != nil {
			all.from = append(other.Key(), first[1:]...)
		}
		if last != nil && key.Family(r.to[0]) == f {
			all.to = append(other.Key(), last[1:]...).End()
		}
		for k := range s.first(ctx, all, key.Owner) {
			p := key.SplitOwned(k)
			if ids = append(ids, p.Text()); len(ids) >= maxCandidates {
				break
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// first yields the beginning of each key in a span once, as cut returns it, until the first one that cannot be read.
func (s *Search) first(ctx context.Context, r span, cut func([]byte) key.Key) iter.Seq[key.Key] {
	return func(yield func(key.Key) bool) {
		for {
			var k key.Key
			for found, err := range s.in.Keys(ctx, r.from, r.to, 1) {
				if err != nil {
					return
				}
				k = cut(found)
			}
			if k == nil || !yield(k) {
				return
			}
			r.from = k.End()
		}
	}
}

// modules records the modules that have bytes in a span.
func (s *Search) modules(ctx context.Context, r span) {
	names := map[string][]string{} // by digest
	_, unreadable := s.scan(ctx, r)
	for m := range s.in.Modules(ctx) {
		if m.Version > 0 {
			names[m.Digest] = append(names[m.Digest], fmt.Sprintf("%s version %d", m.Name, m.Version))
			continue
		}
		if unreadable == nil { // then the keys tell which others there are
			break
		}
		if names[m.Digest] == nil { // of an imported run
			names[m.Digest] = []string{short(m.Digest)}
		}
	}
	for digest, of := range names {
		if !s.has(ctx, key.Binary.Key().Text(digest), r) {
			continue
		}
		err := s.in.Binary(ctx, digest)
		for _, name := range of {
			s.note(ctx, flawless.Affected{Kind: "module", Name: name, Part: "bytes", Todo: addAgain}, err)
		}
	}
	for k := range s.first(ctx, r, key.FirstText) { // of imported runs
		p := key.Split(k, 1)
		digest := p.Text()
		if names[digest] == nil {
			s.note(ctx, flawless.Affected{Kind: "module", Name: short(digest), Part: "bytes", Todo: addAgain}, s.in.Binary(ctx, digest))
		}
	}
}

func short(digest string) string { return fmt.Sprintf("%.12s", digest) }
