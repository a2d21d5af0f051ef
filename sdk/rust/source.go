// Package rust holds the source of the SDK for workflows in Rust, so that a program can lay a copy of
// it beside a workflow. It does nothing.
package rust

import "embed"

// Source holds the crates flawless-sdk and flawless-sdk-macros, and their workspace.
//
//go:embed Cargo.toml README.md flawless-sdk/Cargo.toml flawless-sdk/LICENSE flawless-sdk/src
//go:embed flawless-sdk-macros/Cargo.toml flawless-sdk-macros/LICENSE flawless-sdk-macros/src
var Source embed.FS
