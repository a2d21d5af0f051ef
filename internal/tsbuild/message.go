package tsbuild

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// unresolved matches the bundler's message for an import that it does not find.
var unresolved = regexp.MustCompile(`^Could not resolve "([^"]+)"`)

// lacking says what guests do not have, by the module of Node.js that would offer it.
var lacking = map[string]string{
	"fs": "files", "net": "sockets", "tls": "sockets", "dgram": "sockets", "dns": "sockets", "http2": "sockets",
	"child_process": "processes", "cluster": "processes", "worker_threads": "threads", "vm": "code that is made while they run",
	"readline": "terminals", "repl": "terminals", "tty": "terminals", "inspector": "a debugger; use flawless workflow trace",
}

// describe returns a message of the bundler with its place, and with what to do about it where we know.
func describe(m api.Message, kind string) string {
	var b strings.Builder
	if l := m.Location; l != nil {
		fmt.Fprintf(&b, "%s:%d:%d: ", shownName(l.File), l.Line, l.Column+1)
	}
	text, advice := m.Text, advise(m.Text)
	b.WriteString(kind + text)
	if advice != "" {
		b.WriteString(": " + advice)
	}
	return b.String()
}

// advise says why something cannot be bundled, and what to do instead.
func advise(text string) string {
	name := ""
	if found := unresolved.FindStringSubmatch(text); found != nil {
		name = found[1]
	}
	builtin, isNode := strings.CutPrefix(name, "node:")
	top, _, _ := strings.Cut(builtin, "/")
	switch {
	case strings.Contains(text, `".node" files`):
		return "native code cannot run in a guest; use a package that is written in JavaScript"
	case strings.Contains(text, "Top-level await"):
		return "a module is loaded before there is a run, so nothing could answer; await in a workflow"
	case name == "":
		return ""
	case lacking[top] != "":
		return "guests have no " + lacking[top] + "; call a server with fetch instead, or use another package"
	case isNode || builtins[top]:
		return "it is a part of Node.js that guests do not have; use what browsers have, or another package"
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "/"):
		return "there is no such file"
	}
	return "run npm install, or npm install " + packageOf(name) + " if it is not in package.json"
}

// packageOf returns the name of the package that an import names.
func packageOf(name string) string {
	parts := strings.SplitN(name, "/", 3)
	if strings.HasPrefix(name, "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// builtins are modules of Node.js that can be imported without the prefix node:, besides those in lacking.
var builtins = map[string]bool{
	"assert": true, "async_hooks": true, "console": true, "constants": true, "crypto": true, "diagnostics_channel": true, "domain": true,
	"http": true, "https": true, "module": true, "os": true, "path": true, "perf_hooks": true, "process": true, "punycode": true,
	"querystring": true, "stream": true, "string_decoder": true, "sys": true, "timers": true, "trace_events": true, "url": true, "util": true,
	"v8": true, "wasi": true, "zlib": true,
}
