package engine

import (
	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
)

// place returns where entries are to be written: behind the last record, or over it. The caller holds mu.
func (r *run) place(entries []flawless.Entry) (seq uint64, all []flawless.Entry) {
	if len(r.tail) > 0 && r.sealed < r.seq && core.OnlyLateTries(entries) {
		if all := core.MergeLateTries(r.tail, entries); len(all) <= core.MaxLateTries {
			r.tail = all
			return r.seq - 1, all
		}
	}
	if r.tail = nil; core.OnlyLateTries(entries) {
		r.tail = entries
	}
	r.seq++
	return r.seq - 1, entries
}
