// Package js holds flawless.js, with which a web page follows a run and sends it messages, so that an application in Go
// can serve it. It does nothing.
package js

import _ "embed"

// Source is the text of flawless.js, a module of JavaScript without dependencies.
//
//go:embed flawless.js
var Source []byte
