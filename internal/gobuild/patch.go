package gobuild

import (
	"bytes"
	"fmt"
	"os"

	"github.com/flawless-engine/flawless"
)

// patch changes one file of Go's standard library.
type patch struct {
	pkg, file string
	edits     []edit
	more      string // appended to the file
}

// edit inserts text after a line that must occur exactly once.
type edit struct{ behind, text string }

// patches are applied to the installed Go when a module is built. This package contains none of Go's source except for
// the lines that mark a position.
var patches = []patch{
	{
		pkg: "net/http", file: "roundtrip.go",
		edits: []edit{{"func (t *Transport) RoundTrip(req *Request) (*Response, error) {\n", `	if flawlessRoundTrip != nil && t != nil && req.URL != nil && (req.URL.Scheme == "http" || req.URL.Scheme == "https") {
		return flawlessRoundTrip(t, req)
	}
`}},
		more: `
// flawlessRoundTrip is set by package nethttp of the Flawless SDK.
//
//go:linkname flawlessRoundTrip
var flawlessRoundTrip func(*Transport, *Request) (*Response, error)
`,
	},
	{ // a name is looked up in another goroutine, which does not know who dials
		pkg: "net", file: "lookup.go",
		edits: []edit{{"func (r *Resolver) lookupIPAddr(ctx context.Context, network, host string) ([]IPAddr, error) {\n", `	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return nil, &DNSError{Err: flawlessNoSockets(), Name: host}
	}
`}},
	},
	{
		pkg: "net", file: "net_fake.go",
		edits: []edit{
			{"func fakeConnect(ctx context.Context, fd *netFD, laddr, raddr sockaddr) error {\n", `	return flawlessRefused(raddr, flawlessNoSockets())
`},
			// It would listen within the module, where nobody ever connects.
			{"func fakeListen(fd *netFD, laddr sockaddr) (err error) {\n", `	return flawlessRefused(laddr, flawlessSayWhere("guests have no sockets, so nobody can connect to a run: to be called from outside, wait for a message or a promise"))
`},
			{"import (\n", "\tflawlessruntime \"runtime\"\n"},
		},
		more: `
// flawlessRefused is the error of an address.
func flawlessRefused(a sockaddr, text string) error {
	err := &AddrError{Err: text}
	if a != nil {
		err.Addr = a.String()
	}
	return err
}

// flawlessNoSockets says why a guest cannot connect, and where it tried to.
func flawlessNoSockets() string {
	return flawlessSayWhere("guests have no sockets: make HTTP requests with package nethttp of the Flawless SDK, and reach databases over HTTP")
}
` + sayWhere,
	},
	{
		pkg: "os/exec", file: "exec.go",
		edits: []edit{
			{"func (c *Cmd) Start() error {\n", `	return &Error{Name: c.Path, Err: errors.New(flawlessSayWhere("guests cannot start processes: do the work in Go, or call a service over HTTP that does it"))}
`},
			{"import (\n", "\tflawlessruntime \"runtime\"\n"},
		},
		more: sayWhere,
	},
}

// apply returns the patched text of a file.
func (p patch) apply(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading Go's package %s: %w", p.pkg, err)
	}
	for _, e := range p.edits {
		if bytes.Count(text, []byte(e.behind)) != 1 {
			return nil, fmt.Errorf("this version of flawless does not support %s of the installed Go: use a released Go version, update flawless, or build with: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared: %w", file, flawless.Refused)
		}
		text = bytes.Replace(text, []byte(e.behind), []byte(e.behind+e.text), 1)
	}
	return append(text, p.more...), nil
}

// sayWhere is a function that is added to the patched packages.
const sayWhere = `
// flawlessSayWhere adds the line of the project, or else of the library, that has led here.
func flawlessSayWhere(text string) string {
	dotted := func(name string) bool { // the path of the package begins with the name of a host
		for i := 0; i < len(name) && name[i] != '/'; i++ {
			if name[i] == '.' {
				for ; i < len(name); i++ {
					if name[i] == '/' {
						return true
					}
				}
			}
		}
		return false
	}
	var pcs [64]uintptr
	frames := flawlessruntime.CallersFrames(pcs[:flawlessruntime.Callers(2, pcs[:])])
	at, line := "", 0
	for more := true; more; {
		var f flawlessruntime.Frame
		f, more = frames.Next()
		if len(f.Function) > 5 && f.Function[:5] == "main." {
			at, line = f.File, f.Line
			break
		}
		if at == "" && dotted(f.Function) {
			at, line = f.File, f.Line
		}
	}
	if at == "" {
		return text
	}
	for i := len(at) - 1; i >= 0; i-- {
		if at[i] == '/' {
			at = at[i+1:]
			break
		}
	}
	digits := ""
	for ; line > 0; line /= 10 {
		digits = string(rune('0'+line%10)) + digits
	}
	return text + " (" + at + ":" + digits + ")"
}
`
