// Package schema derives JSON Schemas from Go types. They describe exactly what encoding/json reads into a type or
// writes from it, so that the engine can reject an input, message or promise value before the code sees it.
//
// It follows the rules of encoding/json for field names, embedding, tags and methods. It validates nothing itself;
// the engine does, by the rules in docs/internals/formats.md.
package schema
