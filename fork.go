package flawless

import "encoding/json"

// Offline is what became of a run that went on from a turn with the world closed: calls that its log
// has were answered from there, and the first other one stopped it.
type Offline struct {
	Run    string `json:"run"`    // whose past it is
	Turn   int    `json:"turn"`   // the last one of that
	Digest string `json:"digest"` // of the module it went on with
	Turns  []Turn `json:"turns"`  // that it took from there
	Would  []Call `json:"would"`  // what it would do now: calls that no log has an answer to
	Ended  *Ended `json:"ended,omitempty"`
	// Waits is set where it neither ended nor would do anything: calls whose answers it waits for.
	Waits []Call `json:"waits,omitempty"`
	// Failure says why it could not go on, where the engine had to stop it.
	Failure string `json:"failure,omitempty"`
}

// Difference is the first turn in which two runs differ.
type Difference struct {
	A    string `json:"a"` // ids of the runs
	B    string `json:"b"`
	Same bool   `json:"same"` // they do not differ
	Turn int    `json:"turn"` // 0 is the start
	Call int    `json:"call,omitempty"`
	// What differs: workflow, input, answer, call, data, end, length.
	What string `json:"what,omitempty"`
	InA  string `json:"in_a,omitempty"` // as text
	InB  string `json:"in_b,omitempty"`
	// SiteA and SiteB are call sites, where a call differs.
	SiteA string `json:"at_a,omitempty"`
	SiteB string `json:"at_b,omitempty"`
}

// Inspection is what a run was after a turn.
type Inspection struct {
	Run     string          `json:"run"`
	Turn    int             `json:"turn"`
	Time    int64           `json:"time"`           // the guest's clock, Unix nanoseconds
	Memory  int             `json:"memory"`         // bytes of the guest
	Own     int             `json:"own"`            // of these, in pages that differ from those every run begins with
	Blocked string          `json:"blocked"`        // where each goroutine or task waits, as far as the guest can tell
	Data    json.RawMessage `json:"data,omitempty"` // the last that was published
	Wake    int64           `json:"wake,omitempty"` // next timer, Unix nanoseconds
	Pending []Call          `json:"pending"`        // calls without a delivered answer
	Arrived []int           `json:"arrived"`        // of these, those whose answer had come
	Ended   *Ended          `json:"ended,omitempty"`

	Against int          `json:"against,omitempty"` // the turn that the memory is compared with
	Changes []PageChange `json:"changes,omitempty"`
}

// PageChange is a piece of memory that differs between two turns.
type PageChange struct {
	From  int `json:"from"`  // address of the first page
	Pages int `json:"pages"` // of 4 KiB, side by side
	Bytes int `json:"bytes"` // that differ
}
