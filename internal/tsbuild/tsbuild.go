// Package tsbuild builds modules from TypeScript and JavaScript projects. It hides the bundler (esbuild, as a library), the
// JavaScript engine that each module carries, and how a bundle gets into it. It needs no other program, installs nothing,
// and writes nothing.
package tsbuild

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/flawless-engine/flawless"
)

//go:generate go run ./gen

var (
	// engine is QuickJS-NG behind the guest interface; sdk/ts/engine/build.sh builds it.
	//go:embed engine.wasm
	engine []byte
	// prelude is what stands between it and a workflow: sdk/ts/prelude, bundled.
	//go:embed prelude.js
	prelude []byte
)

// maxBundle is the size limit of a bundle in bytes. All of it is parsed when the module is added.
const maxBundle = 20 << 20

// Built is the result of a build.
type Built struct {
	Module   []byte
	Name     string   // of the package, without its scope
	Warnings []string // of the bundler, one sentence each
	// Sources has the project's own files that were bundled, by path in the project: no packages.
	Sources map[string][]byte
}

// Build bundles the package in a folder. It returns [flawless.Invalid] if the folder has no entry file, or if its code
// cannot be bundled; the error then has the bundler's messages.
func Build(ctx context.Context, dir string) (Built, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Built{}, fmt.Errorf("building %s: %w", dir, err)
	}
	p, err := readPackage(abs)
	if err != nil {
		return Built{}, fmt.Errorf("building %s: %w", dir, err)
	}
	entry, err := p.entry(abs)
	if err != nil {
		return Built{}, fmt.Errorf("building %s: %w", dir, err)
	}
	code, sourceMap, inputs, warnings, err := bundle(abs, entry)
	if err != nil {
		return Built{}, fmt.Errorf("building %s:\n%w", dir, err)
	}
	if len(code) > maxBundle {
		return Built{}, fmt.Errorf("building %s: the code with its packages has %d MiB, but a module may have %d MiB; import less of what is large: %w", dir, len(code)>>20, maxBundle>>20, flawless.TooLarge)
	}
	names, places, err := readMap(sourceMap)
	if err != nil {
		return Built{}, fmt.Errorf("building %s: %w", dir, err)
	}
	list, err := json.Marshal(shown(names))
	if err != nil {
		return Built{}, fmt.Errorf("building %s: %w", dir, err)
	}
	bin, err := link(engine, payload{prelude: prelude, code: code, places: places, sources: list})
	if err != nil {
		return Built{}, fmt.Errorf("building %s: %w", dir, err)
	}
	b := Built{Module: bin, Name: p.name(abs), Warnings: warnings, Sources: map[string][]byte{}}
	for _, in := range inputs {
		if name := shownName(in); !strings.HasPrefix(name, "node_modules/") {
			if text, err := os.ReadFile(filepath.Join(abs, filepath.FromSlash(in))); err == nil {
				b.Sources[name] = text
			}
		}
	}
	return b, nil
}

// manifest is the part of a package.json that a build reads.
type manifest struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Main   string `json:"main"`
	Module string `json:"module"`
}

func readPackage(dir string) (manifest, error) {
	var p manifest
	b, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return p, fmt.Errorf("reading package.json: %v: %w", err, flawless.Invalid)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("package.json is not valid JSON: %v: %w", err, flawless.Invalid)
	}
	return p, nil
}

// name returns the name of the module: that of the package without its scope, or of the folder.
func (p manifest) name(dir string) string {
	if p.Name == "" {
		return filepath.Base(dir)
	}
	return path.Base(p.Name)
}

// entry returns the file that defines the workflows, relative to the folder.
func (p manifest) entry(dir string) (string, error) {
	name := p.name(dir)
	list := []string{p.Source, p.Module, p.Main}
	for _, base := range []string{name, "index", "main", "src/" + name, "src/index", "src/main"} {
		list = append(list, base+".ts", base+".tsx", base+".mts", base+".js", base+".mjs")
	}
	for _, file := range list {
		if file == "" {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(file))); err == nil && info.Mode().IsRegular() {
			return file, nil
		}
	}
	return "", fmt.Errorf(`there is no file with workflows: "source" in package.json names it, or it is called %s.ts, index.ts, main.ts or src/index.ts: %w`, name, flawless.Invalid)
}

// bundle bundles the entry file and all that it imports. inputs are the files that it consists of, relative to dir.
func bundle(dir, entry string) (code, sourceMap []byte, inputs, warnings []string, err error) {
	r := api.Build(api.BuildOptions{
		EntryPoints: []string{"./" + filepath.ToSlash(entry)}, AbsWorkingDir: dir,
		Bundle: true, Format: api.FormatIIFE, Target: api.ES2023, Platform: api.PlatformBrowser, Charset: api.CharsetUTF8,
		Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude, Outfile: filepath.Join(dir, "bundle.js"),
		MainFields: []string{"module", "main"}, Conditions: []string{"flawless", "worker", "import"},
		Define:   map[string]string{"process.env.NODE_ENV": `"production"`},
		Plugins:  []api.Plugin{sdk},
		LogLevel: api.LogLevelSilent, LegalComments: api.LegalCommentsNone, Metafile: true, MinifyWhitespace: true,
	})
	for _, m := range r.Warnings {
		warnings = append(warnings, describe(m, "warning: "))
	}
	if len(r.Errors) > 0 {
		var lines []string
		for _, m := range r.Errors {
			lines = append(lines, describe(m, ""))
		}
		return nil, nil, nil, nil, fmt.Errorf("%s: %w", strings.Join(lines, "\n"), flawless.Invalid)
	}
	for _, f := range r.OutputFiles {
		if filepath.Ext(f.Path) == ".map" {
			sourceMap = f.Contents
		} else {
			code = f.Contents
		}
	}
	var meta struct {
		Inputs map[string]struct{} `json:"inputs"`
	}
	if err := json.Unmarshal([]byte(r.Metafile), &meta); err != nil {
		return nil, nil, nil, nil, fmt.Errorf("reading what the bundle consists of: %w", err)
	}
	for name := range meta.Inputs {
		inputs = append(inputs, name)
	}
	slices.Sort(inputs)
	return code, sourceMap, inputs, warnings, nil
}

// sdk resolves "flawless", and modules of Node.js that guests have, to what the prelude offers.
var sdk = api.Plugin{Name: "flawless", Setup: func(b api.PluginBuild) {
	b.OnResolve(api.OnResolveOptions{Filter: `^flawless$`}, func(api.OnResolveArgs) (api.OnResolveResult, error) {
		return api.OnResolveResult{Path: "flawless", Namespace: "flawless"}, nil
	})
	// What the prelude has of Node.js, with its prefix or without.
	b.OnResolve(api.OnResolveOptions{Filter: `^(node:)?(buffer|events|process)$`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
		return api.OnResolveResult{Path: strings.TrimPrefix(a.Path, "node:"), Namespace: "node"}, nil
	})
	b.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "node"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		text := fmt.Sprintf(`module.exports = globalThis[Symbol.for("flawless.node")][%q]`, a.Path)
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
	b.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "flawless"}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
		text := `module.exports = globalThis[Symbol.for("flawless")]`
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
}}

// shown returns the names of source files as stacks and call sites show them.
func shown(names []string) []string {
	out := make([]string, len(names))
	for k, n := range names {
		out[k] = shownName(n)
	}
	return out
}

// shownName shortens the path of a file to that in the project, or in the innermost node_modules.
func shownName(name string) string {
	if k := strings.LastIndex(name, "node_modules/"); k >= 0 {
		return name[k:]
	}
	for strings.HasPrefix(name, "../") {
		name = name[3:]
	}
	return name
}
