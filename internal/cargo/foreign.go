package cargo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// foreign is a crate that needs something that guests do not have, and what to use instead.
type foreign struct{ crate, instead string }

var (
	needsSockets = "a guest has no sockets: use http::get, http::post and so on of the SDK, which are durable"
	needsServer  = "a guest has no sockets, so no database driver works: reach the database over HTTP, or through a service of yours"
	needsRuntime = "the engine runs the workflow: write an async fn, and use task, join_all, select!, sleep and timeout of the SDK"
)

// foreigners are crates that fail in every run although they compile, or do not compile for a guest at all.
var foreigners = []foreign{
	{"reqwest", needsSockets}, {"ureq", needsSockets}, {"isahc", needsSockets}, {"surf", needsSockets}, {"attohttpc", needsSockets},
	{"minreq", needsSockets}, {"curl", needsSockets}, {"awc", needsSockets}, {"hyper-util", needsSockets}, {"tungstenite", needsSockets},
	{"sqlx", needsServer}, {"diesel", needsServer}, {"rusqlite", needsServer}, {"postgres", needsServer}, {"tokio-postgres", needsServer},
	{"mysql", needsServer}, {"redis", needsServer}, {"mongodb", needsServer},
	{"async-std", needsRuntime}, {"smol", needsRuntime}, {"async-global-executor", needsRuntime}, {"rayon", "a guest has one thread: use an ordinary loop, or several runs (spawn)"},
}

// tokioRuntime is tokio's error for a missing runtime. Only code that needs the runtime contains it.
const tokioRuntime = "must be called from the context of a Tokio 1.x runtime"

// tree is cargo's description of a package and its dependencies.
type tree struct {
	Packages []struct{ ID, Name string }
	Resolve  struct {
		Root  string
		Nodes []node
	}
}

type node struct {
	ID   string
	Deps []struct {
		Pkg   string
		Kinds []struct{ Kind string } `json:"dep_kinds"` // "" is neither for building nor for tests
	}
}

// foreignIn returns a sentence for each crate in a package's dependencies that cannot work in a guest.
func foreignIn(ctx context.Context, dir, target string) ([]string, error) {
	out, err := call(ctx, dir, "metadata", "--format-version=1", "--filter-platform="+target)
	if err != nil {
		return nil, err
	}
	var t tree
	if err := json.Unmarshal(out, &t); err != nil {
		return nil, fmt.Errorf("reading the dependencies of %s from cargo: %w", dir, err)
	}
	return t.foreign(), nil
}

func (t *tree) foreign() (said []string) {
	names, nodes := map[string]string{}, map[string]node{}
	for _, p := range t.Packages {
		names[p.ID] = p.Name
	}
	for _, n := range t.Resolve.Nodes {
		nodes[n.ID] = n
	}
	came := map[string]string{t.Resolve.Root: ""} // from which package
	for queue := []string{t.Resolve.Root}; len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		if at := slices.IndexFunc(foreigners, func(f foreign) bool { return f.crate == names[id] }); at >= 0 {
			said = append(said, fmt.Sprintf("the crate %s%s does not work in a workflow: %s", names[id], through(id, came, names), foreigners[at].instead))
			continue
		}
		for _, d := range nodes[id].Deps {
			_, seen := came[d.Pkg]
			runs := slices.ContainsFunc(d.Kinds, func(k struct{ Kind string }) bool { return k.Kind == "" })
			if !seen && runs {
				came[d.Pkg] = id
				queue = append(queue, d.Pkg)
			}
		}
	}
	return said
}

// through returns the dependency path to a package, "" for a direct dependency.
func through(id string, came, names map[string]string) string {
	var way []string
	for id = came[id]; came[id] != ""; id = came[id] {
		way = append(way, names[id])
	}
	if len(way) == 0 {
		return ""
	}
	slices.Reverse(way)
	return " (through " + strings.Join(way, ", ") + ")"
}

// fileImports are the WASI functions that open, find, change or remove files.
var fileImports = []string{"path_open", "path_filestat_get", "path_create_directory", "path_remove_directory", "path_unlink_file", "path_rename", "path_readlink"}

func imports(bin []byte, function string) bool {
	return bytes.Contains(bin, []byte("wasi_snapshot_preview1"+string(rune(len(function)))+function))
}

// Texts of Rust's standard library that a module contains only if its code can reach them.
const (
	threadText      = "failed to spawn thread"
	unsupportedText = "operation not supported on this platform"
)

// tokioRefuses is part of tokio's compile error for features that it lacks on WebAssembly.
const tokioRefuses = "are supported on wasm."

// explain returns an explanation of a compiler error, or "".
func explain(text string) string {
	if strings.Contains(text, tokioRefuses) {
		return "a workflow has no sockets, files, processes or threads: leave out tokio's features net, fs, process, signal, rt-multi-thread and full (sync and macros work), and use http, task, sleep, timeout and select! of the SDK"
	}
	return ""
}

// sagaText marks modules that use sagas. The SDK contains it for this purpose: depending on the linker, its other
// texts may also be in modules without sagas.
const sagaText = "flawless: this module uses sagas"

// betraying returns a sentence for each part of a module that will fail at run time.
func betraying(bin []byte) (said []string) {
	has := func(text string) bool { return bytes.Contains(bin, []byte(text)) }
	if has(tokioRuntime) {
		said = append(said, "the code uses tokio::spawn, tokio::time or another part of tokio's runtime, which a workflow does not have: it panics there; use task, sleep, timeout and select! of the SDK (tokio::sync and tokio::select! work)")
	}
	if slices.ContainsFunc(fileImports, func(f string) bool { return imports(bin, f) }) {
		said = append(said, "the code uses files (std::fs, or a crate that does), and a workflow has none: opening one fails with \"No such file or directory\"; use include_str! or the input for what it reads, and the output, data or a request for what it writes")
	}
	if has(threadText) {
		said = append(said, "the code starts threads (std::thread, or a crate that does), and a workflow has one: it panics there; use task, join_all, or several runs (spawn)")
	}
	if has(unsupportedText) {
		said = append(said, "the code uses sockets or processes (std::net, std::process::Command, or a crate that does), which a workflow does not have: they fail with \""+unsupportedText+"\"; use http::get, http::post and so on of the SDK, and reach databases over HTTP")
	}
	if has("__wbindgen_placeholder__") {
		said = append(said, "the module imports functions of JavaScript (crate wasm-bindgen), which the engine does not have, and will be refused; turn off the feature that brings it in, often \"js\" or \"wasm-bindgen\"")
	}
	if has(sagaText) && has("flawless_resume") {
		said = append(said, "the workflows are async and use sagas: a panic ends such a run without undoing the steps it took, and the failure names them; return errors, or write the workflow as a plain fn (block_on(saga(…))), where a panic undoes them")
	}
	return said
}
