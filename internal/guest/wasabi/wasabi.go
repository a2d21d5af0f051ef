package wasabi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// Module is a module that was built with the crates. It may be used concurrently.
type Module struct {
	name, version string // as the module says, "" if it does not
	workflows     []string
	alpha         bool // it was built with an alpha version of the crates
	stop          bool // a call with an unknown outcome stops the run instead of being reported to the code
}

// versions are the versions of the crate flawless whose modules run.
var versions = []string{"1.0.0-alpha.16", "1.0.0-beta.1", "1.0.0-beta.2", "1.0.0-beta.3"}

func knownVersions() string { return strings.Join(versions, ", ") }

// Exports of such modules.
const (
	// Alloc is the export of type (i32) -> (i32) that returns guest memory for a result.
	Alloc = "wasabi::alloc"

	exportModule = "#flawless#module#" // followed by name, exportSplit, version
	exportSplit  = "%_#_%"
	exportInit   = "#flawless#workflow#init#" // () -> i32: reads the input
	exportRun    = "#flawless#workflow#run#"  // () -> ()
)

// onUnknown is the custom section with which a module says what an unknown outcome does: "stop" or "tell".
const onUnknown = "flawless:on-unknown"

// Parse returns the module if bin was built with the crates, and nil if it was not. exports are its functions and
// their types, as in [rewrite.Result]. own reports whether an export belongs to the engine's own interface. A module
// of an unknown version of the crates is flawless.Refused.
func Parse(exports map[string]string, bin []byte, own func(export string) bool) (*Module, error) {
	m := &Module{}
	found := false
	for name := range exports {
		if id, is := strings.CutPrefix(name, exportModule); is {
			m.name, m.version, _ = strings.Cut(id, exportSplit)
			found = true
		}
		if w, is := strings.CutPrefix(name, exportInit); is {
			m.workflows = append(m.workflows, w)
			found = true
		}
	}
	if !found {
		if m.workflows, m.alpha = alphaWorkflows(exports, own); !m.alpha {
			return nil, nil
		}
	}
	slices.Sort(m.workflows)
	if v := crateVersion(bin); v != "" && !slices.Contains(versions, v) {
		return nil, fmt.Errorf("the module was built with the crate flawless %s, whose interface this engine does not know; it knows %s; update the crate, see docs/guide/migrate-from-flawless-dev.md: %w", v, knownVersions(), flawless.Refused)
	}
	for _, e := range m.needs() {
		if t, there := exports[e.name]; t != e.typ {
			if !there {
				t = "missing"
			}
			return nil, fmt.Errorf("the module has exports of the crate flawless, but its export %s is %s and not %s; build it with one of flawless %s, for wasm32-unknown-unknown: %w", e.name, t, e.typ, knownVersions(), flawless.Refused)
		}
	}
	switch section := rewrite.CustomSection(bin, onUnknown); string(section) {
	case "", "tell":
	case "stop":
		m.stop = true
	default:
		return nil, fmt.Errorf("the module's section %s holds %.20q, give stop or tell: %w", onUnknown, section, flawless.Refused)
	}
	return m, nil
}

// cratePath is the path of a source file of the crates. Panic messages in the binary contain it.
var cratePath = regexp.MustCompile(`[/\\]flawless(?:-wasabi)?-(\d+\.\d+\.\d+(?:-[a-z]+\.\d+)?)(?:\+[a-z-]+)?[/\\]src[/\\]`)

// crateVersion returns the version of the crate flawless that a module was built with, "" if it is unknown.
func crateVersion(bin []byte) string {
	if found := cratePath.FindSubmatch(bin); found != nil {
		return string(found[1])
	}
	return ""
}

type typedExport struct{ name, typ string }

func (m *Module) needs() []typedExport {
	out := []typedExport{{Alloc, "(i32)->(i32)"}}
	if m.alpha {
		return out
	}
	for _, w := range m.workflows {
		out = append(out, typedExport{exportInit + w, "()->(i32)"}, typedExport{exportRun + w, "()->()"})
	}
	return out
}

// Manifest returns what is known of the module from its exports.
func (m *Module) Manifest() flawless.Manifest {
	manifest := flawless.Manifest{SDK: "flawless.dev/1.0.0-beta", Name: m.name, Version: m.version}
	if m.alpha {
		manifest.SDK = "flawless.dev/1.0.0-alpha"
	}
	for _, w := range m.workflows {
		manifest.Workflows = append(manifest.Workflows, flawless.Workflow{Name: w})
	}
	return manifest
}

// Functions returns the exports that run a workflow when they are called in order, nil if the module does not
// have the workflow.
func (m *Module) Functions(workflow string) []string {
	switch {
	case !slices.Contains(m.workflows, workflow):
		return nil
	case m.alpha:
		return []string{workflow}
	}
	return []string{exportInit + workflow, exportRun + workflow}
}

// Panic returns the message and the location of the panic that the crates logged last, "" if the last line is
// no panic. The message may have several lines. The line has level error and one of these forms:
//
//	workflow 'w' panicked at 'MESSAGE', src/lib.rs:12:5
//	workflow 'w' panicked, src/lib.rs:12:5
func Panic(lines []flawless.Line) (message, stack string) {
	if len(lines) == 0 || lines[len(lines)-1].Level != "error" {
		return "", ""
	}
	rest, isWorkflow := strings.CutPrefix(lines[len(lines)-1].Text, "workflow '")
	_, text, isPanic := strings.Cut(rest, "' panicked")
	at := strings.LastIndex(text, ", ")
	if !isWorkflow || !isPanic || at < 0 {
		return "", ""
	}
	message = strings.TrimSuffix(strings.TrimPrefix(text[:at], " at '"), "'")
	if message == "" {
		message = "a panic without a message"
	}
	return message, "at " + text[at+2:]
}

// StopSection returns a custom section to append to a module, so that a call with an unknown outcome stops the run
// until a person decides. Without it the outcome is reported to the code.
func StopSection() []byte {
	return append([]byte{0, byte(1 + len(onUnknown) + len("stop")), byte(len(onUnknown))}, onUnknown+"stop"...)
}
