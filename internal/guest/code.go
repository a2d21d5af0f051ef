package guest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/tetratelabs/wazero"

	"github.com/flawless-engine/flawless/internal/guest/cache"
	"github.com/flawless-engine/flawless/internal/guest/memory"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// To find compiled code on disk, wazero reads the whole module and validates every function, which takes longer than
// everything else that a starting server does. So code is kept under the name of the hollow module: the same module
// without function bodies, but with a mark that no module with other code has. Each time such code is loaded, a function of it is
// called that returns the mark. That tells code of this module from code of another one, and from code of a hollow
// module, whose functions trap.

// keepCode compiles a module and keeps the code under the name of its hollow module. Code that is there already is taken
// unless anew is set: another module has the same code and other data.
func (r *Runtime) keepCode(ctx context.Context, m *rewrite.Result, anew bool) (kept cache.Code, err error) {
	dir, remove, err := r.kept.Workspace()
	if err != nil {
		return kept, err
	}
	defer remove()
	_, name, err := r.compileInto(ctx, filepath.Join(dir, "hollow"), m.Hollow)
	if err != nil {
		return kept, err
	}
	if kept, there := r.kept.FindCode(name); there && !anew {
		return kept, nil
	}
	code, _, err := r.compileInto(ctx, filepath.Join(dir, "whole"), m.Binary)
	if err != nil {
		return kept, err
	}
	return r.kept.PutCode(code, name)
}

// compileInto compiles a module into a cache of its own in dir. It returns the file with the code, and the file's name
// relative to any cache.
func (r *Runtime) compileInto(ctx context.Context, dir string, bin []byte) (file, name string, err error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = cache.Close(ctx) }()
	apart := wazero.NewRuntimeWithConfig(ctx, r.plain.WithCompilationCache(cache))
	defer func() { _ = apart.Close(ctx) }()
	if _, err := compileWith(ctx, apart, bin); err != nil {
		return "", "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		return "", "", errors.Join(err, fmt.Errorf("%d files of compiled code", len(files)))
	}
	name, err = filepath.Rel(dir, files[0])
	return files[0], name, err
}

// loadCode loads code that keepCode has kept.
func (m *Module) loadCode(ctx context.Context, kept cache.Code) (err error) {
	if !m.rt.kept.HasCode(kept) { // wazero would compile the hollow module, and keep that
		return errNoCode
	}
	if m.compiled, err = m.rt.compileShared(ctx, m.rewritten.Hollow); err != nil {
		return err
	}
	memory.CollapseCode()
	i, err := m.instantiate(ctx, nil)
	if err == nil {
		if err = i.invoke(i.mod.ExportedFunction(rewrite.WholeName)); err != nil || i.stack[0] != m.rewritten.Whole {
			err = errNoCode
		}
		i.destroy()
	}
	if err != nil {
		_ = m.compiled.Close(ctx)
		m.compiled = nil
	}
	return err
}

var errNoCode = errors.New("the compiled code is missing")
