package render

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Bar shows progress: on a terminal as a line that is redrawn, elsewhere as one line per stage.
type Bar struct {
	w        io.Writer
	terminal bool
	stage    string
	began    time.Time
	drawn    time.Time
}

// NewBar returns a bar that is drawn on w.
func NewBar(w io.Writer) *Bar {
	if h, is := w.(*Writer); is { // redrawing needs a carriage return, which a Writer would escape
		w = h.w
	}
	f, ok := w.(*os.File)
	return &Bar{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// OnTerminal reports whether the bar is redrawn instead of printed line by line.
func (b *Bar) OnTerminal() bool { return b.terminal }

// Show draws the bar: done is from 0 to 1.
func (b *Bar) Show(stage string, done float64) {
	now := time.Now()
	stage = string(Escape([]byte(stage))) // the server names it
	if stage != b.stage {
		b.End()
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

// End completes the line of the current stage.
func (b *Bar) End() {
	if b.terminal && b.stage != "" {
		fmt.Fprintf(b.w, "\r%-12s done in %v%s\n", b.stage, time.Since(b.began).Round(time.Millisecond), strings.Repeat(" ", 30))
	}
	b.stage = ""
}
