package guest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// beta is a module that was built with the crates flawless, flawless-http and flawless-wasabi of
// flawless.dev. It has another guest interface: exports with names of their own instead of a manifest,
// and one host function, which blocks (see submit). Its runs are as those of any other guest without a
// scheduler.
type beta struct {
	name, version string // as the module says, "" where it does not
	crate         string // the version of the crate flawless, "" where the module does not tell
	workflows     []string
	alpha         bool // its interface is that of the alpha
	stop          bool // a call of unknown outcome stops the run, and is not told to the code
}

// versions are those of the crate flawless whose modules run.
var versions = []string{"1.0.0-alpha.16", "1.0.0-beta.1", "1.0.0-beta.2", "1.0.0-beta.3"}

func knownVersions() string { return strings.Join(versions, ", ") }

// The names of its exports.
const (
	betaModule = "#flawless#module#" // name, betaSplit, version
	betaSplit  = "%_#_%"
	betaInit   = "#flawless#workflow#init#" // () -> i32: reads the input
	betaRun    = "#flawless#workflow#run#"  // () -> ()
	betaAlloc  = "wasabi::alloc"            // i32 -> i32: room for an answer
)

// onUnknown is the custom section with which a module says what an unknown outcome does: its content
// is "stop" or "tell".
const onUnknown = "flawless:on-unknown"

// newBeta returns nil where the module is not one.
func newBeta(m *rewrite.Result, bin []byte) (*beta, error) {
	b := &beta{}
	found := false
	for name := range m.Exports {
		if said, is := strings.CutPrefix(name, betaModule); is {
			b.name, b.version, _ = strings.Cut(said, betaSplit)
			found = true
		}
		if w, is := strings.CutPrefix(name, betaInit); is {
			b.workflows = append(b.workflows, w)
			found = true
		}
	}
	if !found {
		if b.workflows, b.alpha = alphaModule(m); !b.alpha {
			return nil, nil
		}
	}
	slices.Sort(b.workflows)
	if b.crate = crateOf(bin); b.crate != "" && !slices.Contains(versions, b.crate) {
		return nil, fmt.Errorf("the module was built with the crate flawless %s, and another interface to the engine than those that are known: %s; update the crate, see docs/guide/migrate-from-flawless-dev.md: %w", b.crate, knownVersions(), flawless.Refused)
	}
	for _, e := range b.needs() {
		if t, there := m.Exports[e.name]; t != e.typ {
			if !there {
				t = "not there"
			}
			return nil, fmt.Errorf("the module has exports of the crate flawless, but its export %s is %s and not %s; build it with one of flawless %s, for wasm32-unknown-unknown: %w", e.name, t, e.typ, knownVersions(), flawless.Refused)
		}
	}
	switch said := customSection(bin, onUnknown); string(said) {
	case "", "tell":
	case "stop":
		b.stop = true
	default:
		return nil, fmt.Errorf("the module's section %s holds %.20q, give stop or tell: %w", onUnknown, said, flawless.Refused)
	}
	return b, nil
}

// cratePath is where the compiler found a file of the crates, which panics name.
var cratePath = regexp.MustCompile(`[/\\]flawless(?:-wasabi)?-(\d+\.\d+\.\d+(?:-[a-z]+\.\d+)?)(?:\+[a-z-]+)?[/\\]src[/\\]`)

// crateOf finds the version of the crate flawless that a module was built with, "" where it does not tell.
func crateOf(bin []byte) string {
	if found := cratePath.FindSubmatch(bin); found != nil {
		return string(found[1])
	}
	return ""
}

type typedExport struct{ name, typ string }

func (b *beta) needs() []typedExport {
	out := []typedExport{{betaAlloc, "(i32)->(i32)"}}
	if b.alpha {
		return out
	}
	for _, w := range b.workflows {
		out = append(out, typedExport{betaInit + w, "()->(i32)"}, typedExport{betaRun + w, "()->()"})
	}
	return out
}

func (b *beta) manifest() flawless.Manifest {
	m := flawless.Manifest{SDK: "flawless.dev/1.0.0-beta", Name: b.name, Version: b.version}
	if b.alpha {
		m.SDK = "flawless.dev/1.0.0-alpha"
	}
	for _, w := range b.workflows {
		m.Workflows = append(m.Workflows, flawless.Workflow{Name: w})
	}
	return m
}

// main is the function of a guest without a scheduler, from its start to its end.
func (i *Instance) main() error {
	if i.m.beta == nil {
		return i.invoke(i.start)
	}
	if !slices.Contains(i.m.beta.workflows, i.workflow) {
		return &fault{"error", fmt.Sprintf("the module has no workflow %q", i.workflow)}
	}
	i.cancelled = i.ask("cancelled", []byte("{}"), nil)
	steps := []string{betaInit + i.workflow, betaRun + i.workflow}
	if i.m.beta.alpha {
		steps = []string{i.workflow}
	}
	for _, name := range steps {
		if err := i.invoke(i.mod.ExportedFunction(name)); err != nil {
			return err
		}
	}
	if i.response == nil {
		i.response = []byte("null")
	}
	i.out.Ended = &flawless.Ended{Output: i.response}
	return nil
}

// panicked finds what a panic of the crate flawless leaves behind: a line of level error. The message
// may have lines of its own.
//
//	workflow 'w' panicked at 'MESSAGE', src/lib.rs:12:5
//	workflow 'w' panicked, src/lib.rs:12:5
func panicked(lines []flawless.Line) (message, stack string) {
	if len(lines) == 0 || lines[len(lines)-1].Level != "error" {
		return "", ""
	}
	rest, is := strings.CutPrefix(lines[len(lines)-1].Text, "workflow '")
	_, said, told := strings.Cut(rest, "' panicked")
	at := strings.LastIndex(said, ", ")
	if !is || !told || at < 0 {
		return "", ""
	}
	message = strings.TrimSuffix(strings.TrimPrefix(said[:at], " at '"), "'")
	if message == "" {
		message = "a panic without a message"
	}
	return message, "at " + said[at+2:]
}

// StopSection is what to append to a module made with the crate flawless so that a call whose outcome
// cannot be known stops the run until a person decides, where the code is told otherwise.
func StopSection() []byte {
	return append([]byte{0, byte(1 + len(onUnknown) + len("stop")), byte(len(onUnknown))}, onUnknown+"stop"...)
}
