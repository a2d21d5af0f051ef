// Package ts contains the types of the SDK for TypeScript, which new projects get. The SDK itself is in every module that
// is built.
package ts

import "embed"

// Source has flawless.d.ts.
//
//go:embed flawless.d.ts
var Source embed.FS
