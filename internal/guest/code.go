package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"

	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// The compiled code of a module is kept on disk. To find it there again wazero reads the whole module and
// checks every function of it, which takes longer than all else that a server does to come up. So the code
// is kept under the name of the hollow module: the same without the bodies of its functions. Whether what
// is loaded under that name is the code, and not that of a module whose functions trap, is asked each time
// by calling one.

// codeFile is where compiled code is kept, beneath the folder of the cache.
type codeFile struct {
	Name string
	Size int64
}

// keepsCode reports whether compiled code is kept on disk.
func (r *Runtime) keepsCode() bool { return r.options.CacheDir != "" && !r.options.Interpreter }

// keepCode compiles a module and keeps the code under the name of its hollow module. A crash leaves a
// folder .code-* behind at most.
func (r *Runtime) keepCode(ctx context.Context, m *rewrite.Result) (kept codeFile, err error) {
	dir, err := os.MkdirTemp(r.options.CacheDir, ".code-*")
	if err != nil {
		return kept, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return kept, err
	}
	defer func() { _ = cache.Close(ctx) }()
	apart := wazero.NewRuntimeWithConfig(ctx, r.plain.WithCompilationCache(cache))
	defer func() { _ = apart.Close(ctx) }()
	var code string
	for _, bin := range [][]byte{m.Binary, m.Hollow} {
		if _, err := compileWith(ctx, apart, bin); err != nil {
			return kept, err
		}
		files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
		switch {
		case err != nil:
			return kept, err
		case code == "" && len(files) == 1:
			code = files[0]
			continue
		case code == "" || len(files) != 2:
			return kept, fmt.Errorf("%d files of compiled code", len(files))
		}
		under := files[0]
		if under == code {
			under = files[1]
		}
		if kept.Name, err = filepath.Rel(dir, under); err != nil {
			return kept, err
		}
	}
	info, err := os.Stat(code)
	if err != nil {
		return kept, err
	}
	kept.Size = info.Size()
	to := filepath.Join(r.options.CacheDir, kept.Name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return kept, err
	}
	return kept, os.Rename(code, to)
}

// loadCode loads code that keepCode has kept.
func (m *Module) loadCode(ctx context.Context, kept codeFile) (err error) {
	info, err := os.Stat(filepath.Join(m.rt.options.CacheDir, kept.Name))
	if err != nil || info.Size() != kept.Size { // wazero would compile the hollow module, and keep that
		return errors.Join(err, errNoCode)
	}
	if m.compiled, err = compileWith(ctx, m.rt.wazero, m.rewritten.Hollow); err != nil {
		return err
	}
	gatherCode()
	i, err := m.instantiate(ctx, nil)
	if err == nil {
		if err = i.invoke(i.mod.ExportedFunction(rewrite.WholeName)); err != nil {
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

var errNoCode = errors.New("the compiled code is not there")
