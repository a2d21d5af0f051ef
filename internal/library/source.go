package library

import (
	"context"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/source"
)

// Source returns the source files that were built into a module: a list without their texts, or the file with its text
// that is named, or that a position such as shop/main.go names. The module is the one with the digest, or else the
// version of the name, 0 being the newest. Source returns flawless.NotFound for what does not exist.
func (l *Library) Source(ctx context.Context, name string, version int, digest, file string) (flawless.Source, error) {
	if digest == "" {
		versions, err := l.o.Store.Module(ctx, name)
		if err != nil {
			return flawless.Source{}, err
		}
		at := slices.IndexFunc(versions, func(m flawless.Module) bool { return version == 0 || m.Version == version })
		if at < 0 {
			return flawless.Source{}, fmt.Errorf("module %s has no version %d; the newest is %d: %w", name, version, versions[0].Version, flawless.NotFound)
		}
		digest = versions[at].Digest
	}
	bin, err := l.o.Store.Binary(ctx, digest)
	if err != nil {
		return flawless.Source{}, fmt.Errorf("reading the sources of module %s: %w", name, err)
	}
	out := flawless.Source{Digest: digest, Files: source.Read(bin)}
	switch one, ok := source.Find(out.Files, file); {
	case ok && file != "":
		out.Files = []flawless.SourceFile{one}
	case file != "" && len(out.Files) == 0:
		return flawless.Source{}, fmt.Errorf("module %s (%.12s) has no source files; build it with flawless build, without --no-source: %w", name, digest, flawless.NotFound)
	case file != "":
		return flawless.Source{}, fmt.Errorf("module %s (%.12s) has no source file %.200q, or several that end so; list them with: flawless module source %s: %w", name, digest, file, name, flawless.NotFound)
	default:
		out.Files = append([]flawless.SourceFile{}, out.Files...)
		for i := range out.Files {
			out.Files[i].Text = ""
		}
	}
	return out, nil
}
