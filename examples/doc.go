// Package examples only has tests: each example is built and run on an engine. Each example is a module in a folder of
// its own.
package examples
