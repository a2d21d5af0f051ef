// Package gosdk holds a copy of the Go SDK's source, for projects that are written where the released SDK
// cannot be downloaded. It does nothing else.
//
// The SDK is a module of its own, and a package can embed only files of its own module. If the product required
// the SDK instead, go.mod would need a replace directive, and with that "go install" would refuse the command.
// After a change to sdk/go run "go generate ./internal/gosdk"; a test fails while the copy differs.
package gosdk

import (
	"embed"
	"io/fs"
)

//go:generate go test -count=1 . -update
//go:embed _source
var source embed.FS

const folder = "_source" // which the go command does not take for a package

// Suffix is what the name of a file may have in [Source] and not in the SDK: a go.mod here would make the folder
// a module, which cannot be embedded.
const Suffix = ".copy"

// Source returns the files of the SDK without its tests.
func Source() fs.FS {
	f, err := fs.Sub(source, folder)
	if err != nil {
		panic(err) // the name is no valid one
	}
	return f
}
