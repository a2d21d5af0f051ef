// Package examples has tests only: each example is built and run on an engine. The examples lie
// beside it, a folder and a module each.
package examples
