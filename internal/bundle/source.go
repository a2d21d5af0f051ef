package bundle

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/store"
)

// Without says what to leave out of a bundle.
type Without struct {
	Redact  []string // values to remove, see redact.NewRedaction
	LogOnly bool     // without module and image
}

// Source reads what bundles are made of.
type Source struct {
	// Run returns the durable state of a run, and Log the records of its log.
	Run func(ctx context.Context, id string) (flawless.Run, error)
	Log func(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error]
	// Rules returns the redaction rules that hide secrets in the bundle of a run, first the one of the salt.
	Rules func(run string) []string
	Store *store.Store // has modules and images
}

// Export returns a run as a bundle to be written. The log is read from the store while the bundle is written. The run may
// be in any state, and continues.
func (s Source) Export(ctx context.Context, id string, o Without) (x Export, err error) {
	if err := flawless.CheckID(id); err != nil {
		return x, err
	}
	if _, err := redact.NewRedaction(o.Redact); err != nil {
		return x, err
	}
	run, err := s.Run(ctx, id)
	if err != nil {
		return x, err
	}
	x.Manifest = Manifest{Run: run, Module: flawless.Module{Name: run.Module, Digest: run.Digest}}
	x.Log = func() iter.Seq2[flawless.Record, error] { return s.Log(ctx, id, 0) }
	versions, err := s.Store.Module(ctx, run.Module)
	if err != nil && !errors.Is(err, flawless.NotFound) {
		return x, err
	}
	for _, m := range versions {
		if m.Digest == run.Digest {
			x.Manifest.Module = m
		}
	}
	if !o.LogOnly {
		if x.Module, err = s.Store.Binary(ctx, run.Digest); err != nil {
			return x, err
		}
		if image, err := s.Store.Image(ctx, id); err == nil {
			x.Image = &image
		}
	}
	x.Redact, err = rulesFor(x.Log(), s.Rules(id), o.Redact)
	return x, err
}

// rulesFor returns the rules for a log: those that were applied before it was imported, then others.
func rulesFor(log iter.Seq2[flawless.Record, error], hide, others []string) (rules []string, err error) {
	for first, err := range log {
		if err != nil {
			return nil, err
		}
		if len(first.Entries) > 0 && first.Entries[0].Start != nil && first.Entries[0].Start.Origin != nil {
			rules = slices.Clone(first.Entries[0].Start.Origin.Redacted)
		}
		break
	}
	if slices.ContainsFunc(rules, func(p string) bool { return strings.HasPrefix(p, "salt:") }) {
		hide = hide[1:] // its hashes keep the salt that they came with
	}
	for _, rule := range slices.Concat(hide, others) {
		if !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
	}
	return rules, nil
}
