package kv

import (
	"fmt"

	"github.com/flawless-engine/flawless"
)

// Role is the part that a database has in a transfer.
type Role string

// Roles of a transfer.
const (
	Moved      Role = "moved"      // its contents belong to the other database from now on
	Incomplete Role = "incomplete" // it has a part of the contents of the other database
	Cancelled  Role = "cancelled"  // it has a part of them, and will never have more
)

// Transfer is a row of a database whose contents are being copied, or were copied, to another one or from another one. A
// database that has it cannot be opened as a store, so no run continues in two databases.
type Transfer struct {
	ID    string `cbor:"1,keyasint"` // random, the same on both sides
	Role  Role   `cbor:"2,keyasint"`
	Other string `cbor:"3,keyasint"`           // the other database, as people call it
	Store string `cbor:"4,keyasint"`           // id of the store
	Next  []byte `cbor:"5,keyasint,omitempty"` // of an incomplete one: everything before this key has been copied
	Done  bool   `cbor:"6,keyasint,omitempty"` // of a moved one: the other database has everything, and may have gone on
}

// Err returns why a database with this row cannot be opened. It wraps [flawless.Conflict].
func (t *Transfer) Err() error {
	switch {
	case t.Role == Moved && t.Done:
		return fmt.Errorf("this store was moved to %s, where its runs go on: start the server on that one: %w", t.Other, flawless.Conflict)
	case t.Role == Moved:
		return fmt.Errorf("this store is being moved to %s: complete that with flawless store copy, or undo it with --cancel: %w", t.Other, flawless.Conflict)
	case t.Role == Incomplete:
		return fmt.Errorf("this store is an incomplete copy of %s: complete it with flawless store copy: %w", t.Other, flawless.Conflict)
	default:
		return fmt.Errorf("this store is an incomplete copy of %s, and the copy was cancelled: remove it: %w", t.Other, flawless.Conflict)
	}
}
