package flawless

import "encoding/json"

// Offline is the result of an offline fork: a run continues from a turn without any access to the outside. Calls that
// its log contains were answered from there, and it stopped at the first other call.
type Offline struct {
	Run    string `json:"run"`    // the original run
	Turn   int    `json:"turn"`   // the last turn taken from its log
	Digest string `json:"digest"` // of the module it continued with
	Turns  []Turn `json:"turns"`  // the turns it took after that
	Would  []Call `json:"would"`  // the calls it would make now, for which no log has an answer
	Ended  *Ended `json:"ended,omitempty"`
	// Waits has the calls whose answers it waits for, if it neither ended nor would make a call.
	Waits []Call `json:"waits,omitempty"`
	// Failure says why the engine had to stop it.
	Failure string `json:"failure,omitempty"`
}

// Difference is the first turn in which two runs differ.
type Difference struct {
	A    string `json:"a"` // ids of the runs
	B    string `json:"b"`
	Same bool   `json:"same"` // the runs do not differ
	Turn int    `json:"turn"` // 0 is the start
	Call int    `json:"call,omitempty"`
	// What says what differs: workflow, input, answer, call, data, end or length.
	What string `json:"what,omitempty"`
	InA  string `json:"in_a,omitempty"` // as text
	InB  string `json:"in_b,omitempty"`
	// SiteA and SiteB are the call sites if a call differs.
	SiteA string `json:"at_a,omitempty"`
	SiteB string `json:"at_b,omitempty"`
}

// Inspection is the state of a run after a turn.
type Inspection struct {
	Run     string          `json:"run"`
	Turn    int             `json:"turn"`
	Time    int64           `json:"time"`             // the guest's clock, Unix nanoseconds
	Memory  int             `json:"memory"`           // bytes of memory of the guest
	Own     int             `json:"own"`              // of these, bytes in pages that differ from the base image
	Digest  string          `json:"digest"`           // of the module it was replayed with
	Tasks   []Task          `json:"tasks"`            // where each goroutine or task waits, if the guest can tell; at most 1,000
	Blocked string          `json:"blocked"`          // the same, as the guest says it
	Data    json.RawMessage `json:"data,omitempty"`   // the data published last
	Wake    int64           `json:"wake,omitempty"`   // next timer, Unix nanoseconds
	Pending []Call          `json:"pending"`          // calls without a delivered answer
	Stacks  []TracedCall    `json:"stacks,omitempty"` // where the code was that made them, without the SDK and the language's runtime; of guests in Go, and of others on request
	Arrived []int           `json:"arrived"`          // of these, the calls whose answer has arrived
	Ended   *Ended          `json:"ended,omitempty"`

	Against int          `json:"against,omitempty"` // the turn with which the memory is compared
	Changes []PageChange `json:"changes,omitempty"`
}

// Match is a place in the log of a run that contains a text.
type Match struct {
	Turn   int    `json:"turn"`
	Time   int64  `json:"time"`           // of the turn, Unix nanoseconds
	Record uint64 `json:"record"`         // number of the log record with the turn
	What   string `json:"what"`           // what contains it: line, call or data
	Call   int    `json:"call,omitempty"` // the number of the call
	Site   string `json:"at,omitempty"`   // file:line of the call or the log line
	Text   string `json:"text"`           // the text with what is around it
}

// Matches is a page of matches, in the order of the log.
type Matches struct {
	Matches []Match `json:"matches"`
	Next    uint64  `json:"next,omitempty"` // the record with which the next page begins; 0 on the last page
}

// Task is a goroutine or a task of a guest that waits, or several that wait at the same place.
type Task struct {
	State  string       `json:"state"`          // what it waits for, as the SDK calls it: "sleep", "chan receive"
	Count  int          `json:"count"`          // how many of them wait there; 1 or more
	Call   int          `json:"call,omitempty"` // the call that it waits for, if the guest can tell
	Frames []StackFrame `json:"frames"`         // the user's code on its stack, innermost first
	// Started is where the goroutine was started, if user code did that.
	Started *StackFrame `json:"started,omitempty"`
}

// PageChange is a range of memory that differs between two turns.
type PageChange struct {
	From  int `json:"from"`  // address of the first page
	Pages int `json:"pages"` // number of consecutive pages of 4 KiB
	Bytes int `json:"bytes"` // number of bytes that differ
}
