package flawless

import "encoding/json"

// Record is one durable write of a run: the unit in which its log grows. Everything in a record
// became true at once, or not at all.
type Record struct {
	Seq     uint64  `json:"seq"`   // 0, 1, 2 within the run, without gaps
	Epoch   uint64  `json:"epoch"` // of the owner that wrote it
	Entries []Entry `json:"entries"`
	// Cut is set in the first record where others behind it were removed.
	Cut *Cut `json:"cut,omitempty"`
}

// Size returns about how many bytes of content the record has: inputs, requests, answers, lines and outputs.
func (r Record) Size() (n int) {
	for _, e := range r.Entries {
		switch {
		case e.Start != nil:
			n += len(e.Start.Input)
		case e.Message != nil:
			n += len(e.Message.Body)
		case e.Decision != nil:
			n += len(e.Decision.Body)
		case e.Arrival != nil:
			n += len(e.Arrival.Head) + len(e.Arrival.Body)
		case e.Turn != nil:
			n += len(e.Turn.Data)
			if e.Turn.Ended != nil {
				n += len(e.Turn.Ended.Output)
			}
			for _, l := range e.Turn.Lines {
				n += len(l.Text) + len(l.Fields)
			}
			for _, c := range e.Turn.Calls {
				n += len(c.Head) + len(c.Body)
			}
		}
	}
	return n
}

// Cut is what was removed from a log, see [Settings.KeepTurns].
type Cut struct {
	Next  uint64 `json:"next" cbor:"1,keyasint"`                     // the first record that is still there
	Turns int    `json:"turns" cbor:"2,keyasint"`                    // up to this one turns were removed, but for what the first record has
	Cost  uint64 `json:"cost,omitempty" cbor:"3,keyasint,omitempty"` // metered units of all turns up to this one
}

// MaxItems is how many entries a record has at most, and how many calls, answers, lines and steps a turn. A guest
// that makes more is ended before they are written.
const MaxItems = 1 << 20

// Entry is one event in the life of a run. Exactly one of the pointers is set.
type Entry struct {
	At       int64     `json:"at" cbor:"1,keyasint"` // when the engine wrote it: Unix time in nanoseconds
	Start    *Start    `json:"start,omitempty" cbor:"2,keyasint,omitempty"`
	Turn     *Turn     `json:"turn,omitempty" cbor:"3,keyasint,omitempty"`
	Arrival  *Arrival  `json:"arrival,omitempty" cbor:"4,keyasint,omitempty"`
	Attempt  *Attempt  `json:"attempt,omitempty" cbor:"5,keyasint,omitempty"`
	Unknown  *Unknown  `json:"unknown,omitempty" cbor:"6,keyasint,omitempty"`
	Decision *Decision `json:"decision,omitempty" cbor:"7,keyasint,omitempty"`
	Cancel   *Cancel   `json:"cancel,omitempty" cbor:"8,keyasint,omitempty"`
	End      *End      `json:"end,omitempty" cbor:"9,keyasint,omitempty"`
	Message  *Message  `json:"message,omitempty" cbor:"10,keyasint,omitempty"`
	Pause    *Pause    `json:"pause,omitempty" cbor:"11,keyasint,omitempty"`
	Upgrade  *Upgrade  `json:"upgrade,omitempty" cbor:"20,keyasint,omitempty"`
	Adopted  *Adopted  `json:"adopted,omitempty" cbor:"21,keyasint,omitempty"`
}

// Start is the first entry of every log.
type Start struct {
	Module   string          `json:"module" cbor:"1,keyasint"`
	Digest   string          `json:"digest" cbor:"2,keyasint"`
	Workflow string          `json:"workflow" cbor:"3,keyasint"`
	Input    json.RawMessage `json:"input" cbor:"4,keyasint,omitempty"` // JSON
	Seed     []byte          `json:"seed" cbor:"5,keyasint"`            // 32 bytes, all randomness of the run
	Time     int64           `json:"time" cbor:"6,keyasint"`            // Unix nanoseconds; the monotonic clock counts from it
	Keyed    bool            `json:"keyed,omitempty" cbor:"7,keyasint,omitempty"`

	Parent   string            `json:"parent,omitempty" cbor:"20,keyasint,omitempty"`   // the run that spawned this one
	Call     int               `json:"call,omitempty" cbor:"21,keyasint,omitempty"`     // with which of its calls
	URL      string            `json:"url,omitempty" cbor:"22,keyasint,omitempty"`      // where the outside reaches the engine
	Of       string            `json:"of,omitempty" cbor:"23,keyasint,omitempty"`       // the run that this one repeats
	Deadline int64             `json:"deadline,omitempty" cbor:"24,keyasint,omitempty"` // the run is asked to give up then: Unix nanoseconds
	Grace    int64             `json:"grace,omitempty" cbor:"25,keyasint,omitempty"`    // and terminated this many nanoseconds later
	Origin   *Origin           `json:"origin,omitempty" cbor:"30,keyasint,omitempty"`   // of a fork or an imported run
	Labels   map[string]string `json:"labels,omitempty" cbor:"40,keyasint,omitempty"`
	Place    *Place            `json:"place,omitempty" cbor:"41,keyasint,omitempty"`    // where it queues before it begins
	Schedule string            `json:"schedule,omitempty" cbor:"42,keyasint,omitempty"` // the schedule that started it
	Version  string            `json:"version,omitempty" cbor:"43,keyasint,omitempty"`  // of the module, where one was asked for
}

// DeadlineFrom is the deadline of a run on the same terms that begins at a moment: as long after it as this
// one had. Both are Unix nanoseconds; 0 is none.
func (s Start) DeadlineFrom(now int64) int64 {
	if s.Deadline == 0 {
		return 0
	}
	return now + max(s.Deadline-s.Time, 1)
}

// Turn is what the guest saw and did between two waits.
type Turn struct {
	N       int               `json:"n" cbor:"1,keyasint"`                           // from 1
	Time    int64             `json:"time" cbor:"2,keyasint"`                        // the guest's clock during the turn: Unix nanoseconds
	Answers []int             `json:"answers,omitempty" cbor:"3,keyasint,omitempty"` // calls whose answers the guest was given, in order
	Calls   []Call            `json:"calls,omitempty" cbor:"4,keyasint,omitempty"`
	Lines   []Line            `json:"lines,omitempty" cbor:"5,keyasint,omitempty"`
	Data    json.RawMessage   `json:"data,omitempty" cbor:"6,keyasint,omitempty"` // the run's data after the turn, when it set any (JSON)
	Wake    int64             `json:"wake,omitempty" cbor:"7,keyasint,omitempty"` // next timer of the guest: Unix nanoseconds, 0 is none
	Ended   *Ended            `json:"ended,omitempty" cbor:"9,keyasint,omitempty"`
	Cost    uint64            `json:"cost,omitempty" cbor:"10,keyasint,omitempty"`   // metered units
	Labels  map[string]string `json:"labels,omitempty" cbor:"40,keyasint,omitempty"` // that the guest set; "" removes one
	As      *Self             `json:"as,omitempty" cbor:"41,keyasint,omitempty"`     // in a fork: what the guest was told it is, from this turn on
	Steps   []Step            `json:"steps,omitempty" cbor:"42,keyasint,omitempty"`  // of sagas, that were taken, undone, or whose saga ended well
}

// Self is what a guest knows of its run: its id, and where the outside reaches the engine.
type Self struct {
	Run string `json:"run" cbor:"1,keyasint"`
	URL string `json:"url,omitempty" cbor:"2,keyasint,omitempty"`
}

// Ended is how a workflow's function came to its end.
type Ended struct {
	Output  json.RawMessage `json:"output,omitempty" cbor:"1,keyasint,omitempty"` // JSON, where Failure is nil
	Failure *Failure        `json:"failure,omitempty" cbor:"2,keyasint,omitempty"`
}

// Line is a line the guest logged. Lines take no part in the comparison of a replay.
type Line struct {
	Level  string          `json:"level" cbor:"1,keyasint"` // debug, info, warn, error; stdout, stderr
	Text   string          `json:"text" cbor:"2,keyasint"`
	Fields json.RawMessage `json:"fields,omitempty" cbor:"3,keyasint,omitempty"` // a JSON object
	Site   string          `json:"at,omitempty" cbor:"4,keyasint,omitempty"`     // file:line
}

// Arrival is the answer of a call, from the moment it is durable. A later turn delivers it.
type Arrival struct {
	Answer
	Stages []Stage `json:"stages,omitempty" cbor:"4,keyasint,omitempty"`
	// Note says for people what stands behind an answer that is not the plain one.
	Note string `json:"note,omitempty" cbor:"5,keyasint,omitempty"`
	// Message is the number of the message that the answer hands over, 0 where it is none.
	Message int `json:"message,omitempty" cbor:"6,keyasint,omitempty"`
	// Reached is since when the server of an http call knows its idempotency key, where it knows it from tries
	// that are not among those of the call: see the same member of Attempt.
	Reached int64 `json:"reached,omitempty" cbor:"51,keyasint,omitempty"`
}

// Message is a message to the run, from the moment it is durable. It waits until the run receives it.
type Message struct {
	N    int    `json:"n" cbor:"1,keyasint"`  // 1, 2, 3 within the run that gets it
	ID   string `json:"id" cbor:"2,keyasint"` // the sender's: <run>-<call>, a client's key, or made up
	Type string `json:"type" cbor:"3,keyasint"`
	Body Bytes  `json:"body" cbor:"4,keyasint,omitempty"`           // JSON
	From string `json:"from,omitempty" cbor:"5,keyasint,omitempty"` // the run that sent it, "" is a client
	Call int    `json:"call,omitempty" cbor:"6,keyasint,omitempty"` // with which of its calls
	// Key is the client's own against doubles: a second message with it is not taken in.
	Key string `json:"key,omitempty" cbor:"7,keyasint,omitempty"`
	Who string `json:"who,omitempty" cbor:"8,keyasint,omitempty"`
}

// Pause stops a run from taking turns, or lets it go on.
type Pause struct {
	// Hold has the run begin no call either, nor try one again: what it knows of the world may be old.
	// It comes on top of a pause, and is lifted by the first Resume.
	Hold   bool   `json:"hold,omitempty" cbor:"4,keyasint,omitempty"`
	Resume bool   `json:"resume,omitempty" cbor:"1,keyasint,omitempty"`
	Who    string `json:"who,omitempty" cbor:"2,keyasint,omitempty"`
	Note   string `json:"note,omitempty" cbor:"3,keyasint,omitempty"`
}

// Stage is a point of an exchange with the outside: connected, sent, answered, failed.
type Stage struct {
	Name string `json:"name" cbor:"1,keyasint"`
	At   int64  `json:"at" cbor:"2,keyasint"` // Unix nanoseconds
}

// Attempt is the end of a try that another follows.
type Attempt struct {
	Call   int     `json:"call" cbor:"1,keyasint"`
	N      int     `json:"n" cbor:"2,keyasint"`      // 1, 2, 3
	Result string  `json:"result" cbor:"3,keyasint"` // with Begun only where a restart begins it, and why
	Stages []Stage `json:"stages,omitempty" cbor:"4,keyasint,omitempty"`
	// Next is when the next try begins (Unix nanoseconds). Until an entry with Begun follows, the
	// next try has not begun.
	Next int64 `json:"next,omitempty" cbor:"5,keyasint,omitempty"`
	// Begun marks the intent of try N: from this entry on its outcome may be unknown.
	Begun bool `json:"begun,omitempty" cbor:"6,keyasint,omitempty"`
	// Waits says for what the try behind N waits, which has not begun: a place towards its host.
	Waits string `json:"waits,omitempty" cbor:"40,keyasint,omitempty"`
	// Of the end of a try: how it failed, and why another one follows.
	Failed *TryFailure `json:"failed,omitempty" cbor:"41,keyasint,omitempty"`
	Rule   string      `json:"rule,omitempty" cbor:"42,keyasint,omitempty"`
	// Since is when the first try of the call began, Until when no more tries begin: Unix nanoseconds, 0
	// where that is not limited.
	Since int64 `json:"since,omitempty" cbor:"43,keyasint,omitempty"`
	Until int64 `json:"until,omitempty" cbor:"44,keyasint,omitempty"`
	// Sent is when the first try began of which something may have reached the server and whose outcome is
	// not known; 0 where there is none. Under an idempotency key that is honoured for a time, a status such as
	// 504 leaves the outcome open, too.
	Sent int64 `json:"sent,omitempty" cbor:"45,keyasint,omitempty"`
	// Mild says that all tries since Sent that may have taken effect were answered with such a status.
	Mild bool `json:"mild,omitempty" cbor:"51,keyasint,omitempty"`
	// Reached is when the first try began that has reached the server, whatever became of it: its idempotency
	// key is known there since then. 0 where none has, or in logs of before.
	Reached int64 `json:"reached,omitempty" cbor:"46,keyasint,omitempty"`
	// Eased is how many tries do not make the waits longer, because people wanted them at once or anew.
	Eased int `json:"eased,omitempty" cbor:"47,keyasint,omitempty"`
	// Anew marks, with Next, a try that makes up for one that was cut short: it has its whole time-out, whatever
	// deadline has passed by then.
	Anew bool `json:"anew,omitempty" cbor:"50,keyasint,omitempty"`
}

// TryFailure is how a try failed.
type TryFailure struct {
	Kind   string `json:"kind" cbor:"1,keyasint"`                       // not_sent, unknown or answered
	Reason string `json:"reason,omitempty" cbor:"2,keyasint,omitempty"` // why it was not sent: dial, name, tls, ...
	Status int    `json:"status,omitempty" cbor:"3,keyasint,omitempty"` // of the response, where there was one
}

// Unknown says that the outcome of a call cannot be known. The run waits for a decision.
type Unknown struct {
	Call   int     `json:"call" cbor:"1,keyasint"`
	Reason string  `json:"reason" cbor:"2,keyasint"`
	Stages []Stage `json:"stages,omitempty" cbor:"3,keyasint,omitempty"`
	// Reached is that of Arrival.
	Reached int64 `json:"reached,omitempty" cbor:"51,keyasint,omitempty"`
}

// Adopted says, in a fork, that a call to spawn a run is answered by a child of the run whose past the fork
// shares: no other one is started.
type Adopted struct {
	Call int    `json:"call" cbor:"1,keyasint"`
	Run  string `json:"run" cbor:"2,keyasint"` // the child
}

// Resolution is what a person may decide about a call of unknown outcome.
type Resolution string

// The four resolutions.
const (
	Retry   Resolution = "retry"    // it did not happen: send it again
	Respond Resolution = "response" // it happened, and this was the answer
	Tell    Resolution = "error"    // tell the code, so that it can compensate
	Fail    Resolution = "fail"     // the run has failed
)

// GiveUp ends the retrying of a call. It is logged like a resolution, and is none.
const GiveUp Resolution = "give-up"

// Decision is a person's word on a call: of unknown outcome, or with [Retry] and [GiveUp] on one that waits
// for its next try.
type Decision struct {
	Call       int        `json:"call" cbor:"1,keyasint"`
	Resolution Resolution `json:"resolution" cbor:"2,keyasint"`
	Text       string     `json:"text,omitempty" cbor:"3,keyasint,omitempty"` // the error told to the code
	Status     int        `json:"status,omitempty" cbor:"4,keyasint,omitempty"`
	Body       Bytes      `json:"body,omitempty" cbor:"5,keyasint,omitempty"` // the response
	Who        string     `json:"who,omitempty" cbor:"6,keyasint,omitempty"`
	Note       string     `json:"note,omitempty" cbor:"7,keyasint,omitempty"` // why
}

// Cancel asks the run to give up. The code is told and may compensate.
type Cancel struct {
	Who  string `json:"who,omitempty" cbor:"1,keyasint,omitempty"`
	Note string `json:"note,omitempty" cbor:"2,keyasint,omitempty"`
	// Deadline is when the run is terminated if it has not ended by then: Unix nanoseconds, 0 is never.
	Deadline int64 `json:"deadline,omitempty" cbor:"3,keyasint,omitempty"`
}

// End is an end the engine imposed: a person terminated the run, or decided that it has failed.
type End struct {
	Status  Status  `json:"status" cbor:"1,keyasint"`
	Failure Failure `json:"failure" cbor:"2,keyasint"`
	Who     string  `json:"who,omitempty" cbor:"3,keyasint,omitempty"`
}

// Origin is where a run has its past from. In that past its guest is told the id of the first run of
// all, so that it computes the same; [Turn.As] says from which turn on it is told another one.
type Origin struct {
	Run  string `json:"run" cbor:"1,keyasint"`            // the first run of all, as the guest knows it
	Of   string `json:"of" cbor:"2,keyasint"`             // the run whose log was taken
	Turn int    `json:"turn" cbor:"3,keyasint,omitempty"` // the last one they share; 0 is all

	// What was taken out of the log before it was imported; the paths are those of an export.
	Redacted []string `json:"redacted,omitempty" cbor:"4,keyasint,omitempty"`
}

// Upgrade moves a run to another version of its module. Its whole past is replayed with that from
// then on.
type Upgrade struct {
	Digest  string `json:"digest" cbor:"1,keyasint"`                      // of the module it goes on with
	From    string `json:"from" cbor:"2,keyasint"`                        // digest of the one before
	Version int    `json:"version,omitempty" cbor:"3,keyasint,omitempty"` // of the module it goes on with
	Wake    int64  `json:"wake,omitempty" cbor:"4,keyasint,omitempty"`    // next timer of the guest, as the new code has it: Unix nanoseconds
	Who     string `json:"who,omitempty" cbor:"5,keyasint,omitempty"`
}
