package flawless

import (
	"encoding/json"
	"time"
)

// Module is one version of a named WebAssembly binary.
type Module struct {
	Name    string    `json:"name" cbor:"1,keyasint"`
	Version int       `json:"version" cbor:"2,keyasint"` // 1, 2, 3 in the order of adding
	Digest  string    `json:"digest" cbor:"3,keyasint"`  // SHA-256 of the bytes as they were added, hexadecimal
	Size    int64     `json:"size" cbor:"4,keyasint"`    // bytes
	Added   time.Time `json:"added" cbor:"5,keyasint"`
	// Manifest is what the module says of itself.
	Manifest Manifest `json:"manifest" cbor:"6,keyasint"`
	// Initialised tells how often the module is initialised: once for all its runs, or per run where
	// they would share random numbers otherwise. A start takes milliseconds then.
	Initialised Initialised `json:"initialised,omitempty" cbor:"7,keyasint,omitempty"`
}

// Initialised is how often a module is initialised.
type Initialised string

// The two ways.
const (
	Once   Initialised = "once"
	PerRun Initialised = "per run"
)

// Manifest is what a guest tells with `describe`.
type Manifest struct {
	SDK       string     `json:"sdk,omitempty" cbor:"1,keyasint,omitempty"` // such as "go/0.1.0"
	Workflows []Workflow `json:"workflows" cbor:"2,keyasint,omitempty"`
	Hosts     []string   `json:"hosts,omitempty" cbor:"3,keyasint,omitempty"` // it means to talk to
	// Name and Version are those that the author gave to the module, or "".
	Name    string `json:"name,omitempty" cbor:"4,keyasint,omitempty"`
	Version string `json:"version,omitempty" cbor:"5,keyasint,omitempty"`
	// Keys says which hosts honour an Idempotency-Key, and for how long. A host is there once.
	Keys []KeyWindow `json:"keys,omitempty" cbor:"6,keyasint,omitempty"`
}

// Workflow is a named function inside a module. Input and Output are JSON Schemas (draft 2020-12),
// or nil where the guest does not tell.
type Workflow struct {
	Name   string          `json:"name" cbor:"1,keyasint"`
	Doc    string          `json:"doc,omitempty" cbor:"2,keyasint,omitempty"`
	Input  json.RawMessage `json:"input,omitempty" cbor:"3,keyasint,omitempty"`
	Output json.RawMessage `json:"output,omitempty" cbor:"4,keyasint,omitempty"`
}

// Workflow returns the workflow of that name, or nil.
func (m *Module) Workflow(name string) *Workflow {
	for i := range m.Manifest.Workflows {
		if m.Manifest.Workflows[i].Name == name {
			return &m.Manifest.Workflows[i]
		}
	}
	return nil
}
