package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// bar shows how far something has come: a line that is drawn again on a terminal, a line for each
// stage elsewhere.
type bar struct {
	w        io.Writer
	terminal bool
	stage    string
	began    time.Time
	drawn    time.Time
}

func newBar(w io.Writer) *bar {
	if h, is := w.(*harmless); is { // the line is drawn again with a carriage return
		w = h.w
	}
	f, ok := w.(*os.File)
	return &bar{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

func (b *bar) show(stage string, done float64) {
	now := time.Now()
	stage = string(escaped([]byte(stage))) // it comes from a server
	if stage != b.stage {
		b.end()
		b.stage, b.began, b.drawn = stage, now, time.Time{}
		if !b.terminal {
			fmt.Fprintln(b.w, stage+" …")
		}
	}
	if !b.terminal || done < 1 && now.Sub(b.drawn) < 50*time.Millisecond {
		return
	}
	b.drawn = now
	const width = 30
	n := int(done * width)
	fmt.Fprintf(b.w, "\r%-12s [%s%s] %3.0f %%", stage, strings.Repeat("█", n), strings.Repeat(" ", width-n), done*100)
}

// end closes the line of a stage.
func (b *bar) end() {
	if b.terminal && b.stage != "" {
		fmt.Fprintf(b.w, "\r%-12s done in %v%s\n", b.stage, time.Since(b.began).Round(time.Millisecond), strings.Repeat(" ", 30))
	}
	b.stage = ""
}
