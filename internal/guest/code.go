package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// The compiled code of a module is kept on disk. To find it there again wazero reads the whole module and
// checks every function of it, which takes longer than all else that a server does to come up. So the code
// is kept under the name of the hollow module: the same without the bodies of its functions, but with a
// mark that no other module has. Whether what is loaded under that name is the code of the module, and not
// of another, or of one whose functions trap, is asked each time by calling one that tells the mark.

// codeFile is where compiled code is kept, beneath the folder of the cache.
type codeFile struct {
	Name string
	Size int64
}

// keepsCode reports whether compiled code is kept on disk.
func (r *Runtime) keepsCode() bool { return r.options.CacheDir != "" && !r.options.Interpreter }

// keepCode compiles a module and keeps the code under the name of its hollow module. A crash leaves a
// folder .code-* behind at most, which a later call removes.
func (r *Runtime) keepCode(ctx context.Context, m *rewrite.Result) (kept codeFile, err error) {
	r.tidy()
	dir, err := os.MkdirTemp(r.options.CacheDir, ".code-*")
	if err != nil {
		return kept, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	code, _, err := r.compileInto(ctx, filepath.Join(dir, "whole"), m.Binary)
	if err != nil {
		return kept, err
	}
	if _, kept.Name, err = r.compileInto(ctx, filepath.Join(dir, "hollow"), m.Hollow); err != nil {
		return kept, err
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

// tidy removes what was left behind in the midst of keepCode. Another process may be there at this moment.
func (r *Runtime) tidy() {
	left, _ := filepath.Glob(filepath.Join(r.options.CacheDir, ".code-*"))
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir)
		}
	}
}

// compileInto compiles a module into a cache of its own in dir. It returns the file of its code, and the
// name of that beneath any cache.
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

var errNoCode = errors.New("the compiled code is not there")
