// Package brief makes the short form of a log, for those who draw all of a run and show the bodies of few calls.
//
// It leaves out what is long, and says so. It never changes the record that it is given, and never shortens a text in the
// middle: what is there is complete.
package brief

import (
	"slices"

	"github.com/flawless-engine/flawless"
)

// Limits in bytes. What is longer is left out.
const (
	MaxBody = 1 << 10  // of a body, and of the fields of a log line
	MaxHead = 4 << 10  // of the head of an answer
	MaxData = 16 << 10 // of data; longer data becomes null, so that its place can be seen
	MaxText = 1 << 10  // of a log line
)

// Of returns the brief form of a record. Short is set if something was left out: the record itself has it.
func Of(rec flawless.Record) flawless.Record {
	b := brief{}
	out := rec
	for i, e := range rec.Entries {
		short := b.entry(e)
		if short == e {
			continue
		}
		if &out.Entries[0] == &rec.Entries[0] {
			out.Entries = slices.Clone(rec.Entries)
		}
		out.Entries[i] = short
	}
	out.Short = b.cut
	return out
}

// brief notes whether anything was left out.
type brief struct{ cut bool }

// long reports whether something is left out, and notes it.
func (b *brief) long(n, limit int) bool {
	b.cut = b.cut || n > limit
	return n > limit
}

func (b *brief) entry(e flawless.Entry) flawless.Entry {
	switch {
	case e.Start != nil && b.long(len(e.Start.Input), MaxData):
		s := *e.Start
		s.Input, e.Start = nil, &s
	case e.Message != nil && b.long(len(e.Message.Body), MaxBody):
		m := *e.Message
		m.Body, e.Message = nil, &m
	case e.Decision != nil && b.long(len(e.Decision.Body), MaxBody):
		d := *e.Decision
		d.Body, e.Decision = nil, &d
	case e.Arrival != nil:
		body, head := b.long(len(e.Arrival.Body), MaxBody), b.long(len(e.Arrival.Head), MaxHead)
		if body || head {
			a := *e.Arrival
			if body {
				a.Body = nil
			}
			if head {
				a.Head = nil
			}
			e.Arrival = &a
		}
	case e.Turn != nil:
		e.Turn = b.turn(e.Turn)
	}
	return e
}

func (b *brief) turn(t *flawless.Turn) *flawless.Turn {
	out := *t
	changed := false
	if b.long(len(t.Data), MaxData) {
		out.Data, changed = []byte("null"), true
	}
	if t.Ended != nil && b.long(len(t.Ended.Output), MaxData) {
		out.Ended, changed = &flawless.Ended{Failure: t.Ended.Failure}, true
	}
	for i, c := range t.Calls {
		if b.long(len(c.Body), MaxBody) {
			if &out.Calls[0] == &t.Calls[0] {
				out.Calls, changed = slices.Clone(t.Calls), true
			}
			out.Calls[i].Body = nil
		}
	}
	for i, l := range t.Lines {
		text, fields := b.long(len(l.Text), MaxText), b.long(len(l.Fields), MaxBody)
		if !text && !fields {
			continue
		}
		if &out.Lines[0] == &t.Lines[0] {
			out.Lines, changed = slices.Clone(t.Lines), true
		}
		if text {
			out.Lines[i].Text = "(a long line)"
		}
		if fields {
			out.Lines[i].Fields = nil
		}
	}
	if !changed {
		return t
	}
	return &out
}
