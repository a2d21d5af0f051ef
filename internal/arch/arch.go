// Package arch has tests only: they hold the table of allowed imports and the rule that every package
// says in one place what it is. It hides nothing and does nothing.
package arch
