package bundle

import (
	"reflect"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/redact"
)

// Redact returns the bundle with what redact.NewRedaction understands taken out of every input, output,
// body, message, datum and field of a line, and headers and parameters out of every head and text. Where
// that changes something, the image goes, too: it has the values in it.
func Redact(b Bundle, what []string) (Bundle, error) {
	r, err := redact.NewRedaction(what)
	if err != nil || len(what) == 0 {
		return b, err
	}
	changed, received := false, false
	log := make([]flawless.Record, len(b.Log))
	for i, rec := range b.Log {
		log[i] = rec
		log[i].Entries = make([]flawless.Entry, len(rec.Entries))
		for k, before := range rec.Entries {
			after := r.Entry(before)
			log[i].Entries[k] = after
			if !reflect.DeepEqual(before, after) {
				changed = true
				received = received || before.Start != nil || before.Arrival != nil || before.Message != nil || before.Decision != nil
			}
		}
	}
	run := b.Manifest.Run
	run.Output, run.Failure, run.Problem = r.JSON(run.Output), r.Failure(run.Failure), r.Text(run.Problem)
	run.Unresolved = slices.Clone(run.Unresolved)
	for i, d := range run.Unresolved {
		d.Request, d.Reason = r.Text(d.Request), r.Text(d.Reason)
		run.Unresolved[i] = d
	}
	named := slices.ContainsFunc(what, func(p string) bool { return !strings.HasPrefix(p, "mask:") && !strings.HasPrefix(p, "salt:") })
	if !changed && !named && reflect.DeepEqual(run, b.Manifest.Run) {
		return b, nil // there is nothing to hide
	}
	if received && !named && !slices.Contains(what, "mask:"+redact.Received) {
		what = append(slices.Clone(what), "mask:"+redact.Received)
	}
	b.Manifest.Redacted, b.Manifest.Run, b.Image, b.Log = what, run, nil, log
	return b, nil
}
