package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/source"
)

// Replay replays an exported run, with the module in the bundle or with bin.
func Replay(ctx context.Context, file string, bin []byte) (r flawless.Replay, err error) {
	b, err := readBundle(file)
	if err != nil {
		return r, err
	}
	if bin == nil {
		bin = b.Module
	}
	if bin == nil {
		return r, fmt.Errorf("the bundle %s contains only the log, no module; give a module with --module: %w", file, flawless.Invalid)
	}
	rt, err := NewRuntime(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, rt.Close(context.WithoutCancel(ctx))) }()
	m, err := rt.Load(ctx, bin, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	if r, err = replayBundle(ctx, m, b); err == nil {
		explain(ctx, r.Divergence, b, bin)
	}
	return r, err
}

// explain adds the lines of source to a divergence of a bundle from the module bin.
func explain(ctx context.Context, d *flawless.Divergence, b bundle.Bundle, bin []byte) {
	const logged, asked = "logged", "asked"
	source.NewReader(func(_ context.Context, which string) ([]byte, error) {
		if which == logged {
			return b.Module, nil
		}
		return bin, nil
	}).Explain(ctx, d, logged, asked)
}

// readBundle reads a bundle from a file.
func readBundle(file string) (bundle.Bundle, error) {
	f, err := os.Open(file)
	if err != nil {
		return bundle.Bundle{}, fmt.Errorf("reading the bundle: %v: %w", err, flawless.Invalid)
	}
	defer f.Close()
	b, err := bundle.Read(f)
	if err != nil {
		return b, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// replayBundle replays the log in a bundle.
func replayBundle(ctx context.Context, m *guest.Module, b bundle.Bundle) (flawless.Replay, error) {
	var o replay.Options
	if len(b.Manifest.Redacted) > 0 {
		r, err := redact.NewRedaction(b.Manifest.Redacted)
		if err != nil {
			return flawless.Replay{}, errors.Join(err, flawless.Damaged)
		}
		o.Redact = &r
	}
	r, err := replay.Run(ctx, m, b.Manifest.Run.ID, replay.Records(b.Log), o)
	return Masked(r), err
}

// Bundles returns the files among names, and the *.bundle files in the directories.
func Bundles(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("looking for exported runs: %v: %w", err, flawless.Invalid)
		}
		if !info.IsDir() {
			out = append(out, name)
			continue
		}
		if err := filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(path) == ".bundle" {
				out = append(out, path)
			}
			return err
		}); err != nil {
			return nil, fmt.Errorf("looking for exported runs in %s: %v: %w", name, err, flawless.Invalid)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no exported runs (*.bundle) found in %v; export one with: flawless workflow export: %w", names, flawless.Invalid)
	}
	return out, nil
}

// Check replays exported runs with the module bin, which was read from the file module, and returns the report of
// the upgrade check.
func Check(ctx context.Context, module string, bin []byte, files []string) (_ flawless.ModuleUpgrade, err error) {
	began := time.Now()
	rt, err := NewRuntime(ctx)
	if err != nil {
		return flawless.ModuleUpgrade{}, err
	}
	defer func() { err = errors.Join(err, rt.Close(context.WithoutCancel(ctx))) }()
	m, err := rt.Load(ctx, bin, nil)
	if err != nil {
		return flawless.ModuleUpgrade{}, fmt.Errorf("%s: %w", module, err)
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	u := flawless.ModuleUpgrade{Digest: m.Digest(), DryRun: true}
	for _, file := range files {
		b, err := readBundle(file)
		if err != nil {
			return u, err
		}
		u.Module = b.Manifest.Module.Name
		r, err := replayBundle(ctx, m, b)
		explain(ctx, r.Divergence, b, bin)
		v := flawless.RunUpgrade{Run: b.Manifest.Run.ID, Workflow: b.Manifest.Run.Workflow, From: b.Manifest.Module.Digest,
			FromVersion: b.Manifest.Module.Version, Turns: r.Turns, Calls: r.Calls, Divergence: r.Divergence, Verdict: flawless.Continues}
		switch {
		case ctx.Err() != nil:
			return u, ctx.Err()
		case err != nil:
			v.Verdict, v.Reason = flawless.Undecided, err.Error()
			u.Undecided++
		case r.Divergence != nil && fails(r.Divergence):
			v.Reason, v.Divergence = "it failed in turn "+fmt.Sprint(r.Divergence.Turn)+"; the new code behaves differently there", nil
			u.Continue++
		case r.Divergence != nil:
			v.Verdict = flawless.Diverges
			u.Diverge++
		default:
			u.Continue++
		}
		u.Runs = append(u.Runs, v)
	}
	u.Took = time.Since(began)
	return u, nil
}

// fails reports whether a replay differs only in that the run had failed. Everything before is the same, and new
// code is expected to behave differently there.
func fails(d *flawless.Divergence) bool {
	return d.Logged == nil && d.LoggedEnd != nil && d.LoggedEnd.Failure != nil
}
