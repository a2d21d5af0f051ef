package main

import (
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

// printJSON prints an indented JSON document.
func (a *app) printJSON(v any) error { return render.JSON(a.out, v, "  ") }

// printLine prints a JSON document on one line.
func (a *app) printLine(v any) error { return render.JSON(a.out, v, "") }

// table prints rows in columns.
func (a *app) table(head string, rows [][]string) { render.Table(a.out, head, rows) }
