package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// printJSON prints a document.
func (a *app) printJSON(v any) error {
	return a.encode(v, "  ")
}

// printLine prints a document in one line.
func (a *app) printLine(v any) error {
	return a.encode(v, "")
}

// encode prints JSON. Bytes in it that are not UTF-8, which a log read from a file may have, become
// U+FFFD.
func (a *app) encode(v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := a.out.Write(bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD")))
	return err
}

// table prints rows in columns.
func (a *app) table(head string, rows [][]string) {
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, cell := range r { // a tab or newline of its own would make it several
			cells[i] = string(escaped([]byte(strings.NewReplacer("\t", " ", "\n", " ").Replace(cell))))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush()
}

func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func shortened(s string, n int) string {
	if s = strings.ToValidUTF8(oneLine(s), "\uFFFD"); len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…" // not half a character
	}
	return s
}
