package flawless

import (
	"encoding/json"
	"time"
)

// Module is one version of a named WebAssembly binary.
type Module struct {
	Name    string    `json:"name" cbor:"1,keyasint"`
	Version int       `json:"version" cbor:"2,keyasint"` // 1, 2, 3 in the order in which they were added
	Digest  string    `json:"digest" cbor:"3,keyasint"`  // SHA-256 of the original bytes, hexadecimal
	Size    int64     `json:"size" cbor:"4,keyasint"`    // bytes
	Added   time.Time `json:"added" cbor:"5,keyasint"`
	// Manifest is the module's description of itself.
	Manifest Manifest `json:"manifest" cbor:"6,keyasint"`
	// Initialised says how often the module is initialised: once for all runs, or per run if they would otherwise
	// share random numbers. Starting a run then takes milliseconds.
	Initialised Initialised `json:"initialised,omitempty" cbor:"7,keyasint,omitempty"`
	// Sources is the number of source files in the module; 0 means that it has none.
	Sources int `json:"sources,omitempty" cbor:"8,keyasint,omitempty"`
}

// Source is the source files that were built into a version of a module.
type Source struct {
	Digest string       `json:"digest"` // of the module
	Files  []SourceFile `json:"files"`  // by name
}

// SourceFile is a source file of a project.
type SourceFile struct {
	Name  string `json:"name"` // path, relative to the directory that contains the project
	Lines int    `json:"lines"`
	Text  string `json:"text,omitempty"` // empty in a list of files
}

// Initialised says how often a module is initialised.
type Initialised string

// Values of [Initialised].
const (
	Once   Initialised = "once"
	PerRun Initialised = "per run"
)

// Manifest is what a guest passes to describe.
type Manifest struct {
	SDK       string     `json:"sdk,omitempty" cbor:"1,keyasint,omitempty"` // such as "go/0.1.0"
	Workflows []Workflow `json:"workflows" cbor:"2,keyasint,omitempty"`
	Hosts     []string   `json:"hosts,omitempty" cbor:"3,keyasint,omitempty"` // hosts that the module calls
	// Name and Version were chosen by the author of the module; they may be "".
	Name    string `json:"name,omitempty" cbor:"4,keyasint,omitempty"`
	Version string `json:"version,omitempty" cbor:"5,keyasint,omitempty"`
	// Keys says which hosts honour an Idempotency-Key, and for how long. Hosts are unique.
	Keys []KeyWindow `json:"keys,omitempty" cbor:"6,keyasint,omitempty"`
}

// Workflow is a named function in a module. Input and Output are JSON Schemas (draft 2020-12), or nil if the guest
// does not provide them.
type Workflow struct {
	Name   string          `json:"name" cbor:"1,keyasint"`
	Doc    string          `json:"doc,omitempty" cbor:"2,keyasint,omitempty"`
	Input  json.RawMessage `json:"input,omitempty" cbor:"3,keyasint,omitempty"`
	Output json.RawMessage `json:"output,omitempty" cbor:"4,keyasint,omitempty"`
}

// Workflow returns the workflow with that name, or nil.
func (m *Module) Workflow(name string) *Workflow {
	for i := range m.Manifest.Workflows {
		if m.Manifest.Workflows[i].Name == name {
			return &m.Manifest.Workflows[i]
		}
	}
	return nil
}
