package flawless

import "encoding/json"

// Record is one durable write of a run, the unit by which its log grows. Everything in a record takes effect at once
// or not at all.
type Record struct {
	Seq     uint64  `json:"seq"`   // 0, 1, 2 within the run, without gaps
	Epoch   uint64  `json:"epoch"` // of the owner that wrote it
	Entries []Entry `json:"entries"`
	// Cut is set in the first record of a truncated log.
	Cut *Cut `json:"cut,omitempty"`
	// Short is set in a brief log if long parts of the record were left out; get the record itself to see them.
	Short bool `json:"short,omitempty"`
}

// Size returns the approximate number of bytes of content in the record: inputs, requests, answers, lines and
// outputs.
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

// Cut says what was removed from a log, see [Settings.KeepTurns].
type Cut struct {
	Next  uint64 `json:"next" cbor:"1,keyasint"`                     // the first record that still exists
	Turns int    `json:"turns" cbor:"2,keyasint"`                    // the last turn that was removed
	Cost  uint64 `json:"cost,omitempty" cbor:"3,keyasint,omitempty"` // metered units of all turns up to this one
}

// MaxItems is the maximum number of entries in a record, and of calls, answers, lines and steps in a turn. A guest
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
	// Request is the id that the first of several servers gave the request that led to this entry and those after it in the
	// same write. The request has an effect once, however often it is sent to the owner of the run.
	Request string `json:"request,omitempty" cbor:"22,keyasint,omitempty"`
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
	Call     int               `json:"call,omitempty" cbor:"21,keyasint,omitempty"`     // number of the spawn call in the parent
	URL      string            `json:"url,omitempty" cbor:"22,keyasint,omitempty"`      // address of the server
	Of       string            `json:"of,omitempty" cbor:"23,keyasint,omitempty"`       // the run that this one repeats
	Deadline int64             `json:"deadline,omitempty" cbor:"24,keyasint,omitempty"` // when the run is cancelled: Unix nanoseconds
	Grace    int64             `json:"grace,omitempty" cbor:"25,keyasint,omitempty"`    // nanoseconds from then until it is terminated
	Origin   *Origin           `json:"origin,omitempty" cbor:"30,keyasint,omitempty"`   // of a fork or an imported run
	Labels   map[string]string `json:"labels,omitempty" cbor:"40,keyasint,omitempty"`
	Queue    *QueueOptions     `json:"place,omitempty" cbor:"41,keyasint,omitempty"`    // concurrency key and priority
	Schedule string            `json:"schedule,omitempty" cbor:"42,keyasint,omitempty"` // the schedule that started it
	Version  string            `json:"version,omitempty" cbor:"43,keyasint,omitempty"`  // version of the module, if one was requested
	Lost     bool              `json:"lost,omitempty" cbor:"44,keyasint,omitempty"`     // the database lost the run; its code and input are not known
}

// DeadlineFrom returns the deadline of a run with the same terms that begins now. Both times are Unix nanoseconds; 0
// means no deadline.
func (s Start) DeadlineFrom(now int64) int64 {
	if s.Deadline == 0 {
		return 0
	}
	return now + max(s.Deadline-s.Time, 1)
}

// Turn is what the guest received and did between two waits.
type Turn struct {
	N       int               `json:"n" cbor:"1,keyasint"`                           // from 1
	Time    int64             `json:"time" cbor:"2,keyasint"`                        // the guest's clock during the turn: Unix nanoseconds
	Answers []int             `json:"answers,omitempty" cbor:"3,keyasint,omitempty"` // calls whose answers were delivered, in order
	Calls   []Call            `json:"calls,omitempty" cbor:"4,keyasint,omitempty"`
	Lines   []Line            `json:"lines,omitempty" cbor:"5,keyasint,omitempty"`
	Data    json.RawMessage   `json:"data,omitempty" cbor:"6,keyasint,omitempty"` // the data that the turn published, if any (JSON)
	Wake    int64             `json:"wake,omitempty" cbor:"7,keyasint,omitempty"` // next timer of the guest: Unix nanoseconds, 0 means none
	Ended   *Ended            `json:"ended,omitempty" cbor:"9,keyasint,omitempty"`
	Cost    uint64            `json:"cost,omitempty" cbor:"10,keyasint,omitempty"`   // metered units
	Labels  map[string]string `json:"labels,omitempty" cbor:"40,keyasint,omitempty"` // labels that the guest set; "" removes one
	As      *Self             `json:"as,omitempty" cbor:"41,keyasint,omitempty"`     // in a fork: the identity that the guest has from this turn on
	Steps   []Step            `json:"steps,omitempty" cbor:"42,keyasint,omitempty"`  // steps of sagas that were taken or are no longer open
}

// Self is what a guest knows about its run: its id, and the address of the server.
type Self struct {
	Run string `json:"run" cbor:"1,keyasint"`
	URL string `json:"url,omitempty" cbor:"2,keyasint,omitempty"`
}

// Ended is how a run ended: its output, or the failure.
type Ended struct {
	Output  json.RawMessage `json:"output,omitempty" cbor:"1,keyasint,omitempty"` // JSON; set if Failure is nil
	Failure *Failure        `json:"failure,omitempty" cbor:"2,keyasint,omitempty"`
}

// Line is a line the guest logged. A replay does not compare lines.
type Line struct {
	Level  string          `json:"level" cbor:"1,keyasint"` // debug, info, warn, error; stdout, stderr
	Text   string          `json:"text" cbor:"2,keyasint"`
	Fields json.RawMessage `json:"fields,omitempty" cbor:"3,keyasint,omitempty"` // a JSON object
	Site   string          `json:"at,omitempty" cbor:"4,keyasint,omitempty"`     // file:line
}

// Arrival is the answer of a call, once it is durable. A later turn delivers it.
type Arrival struct {
	Answer
	Stages []Stage `json:"stages,omitempty" cbor:"4,keyasint,omitempty"`
	// Note explains an unusual answer to people.
	Note string `json:"note,omitempty" cbor:"5,keyasint,omitempty"`
	// Message is the number of the message that the answer delivers, or 0.
	Message int `json:"message,omitempty" cbor:"6,keyasint,omitempty"`
	// Reached says since when the server of an http call knows its idempotency key, if it knows the key from attempts
	// other than those of the call; see Attempt.Reached.
	Reached int64 `json:"reached,omitempty" cbor:"51,keyasint,omitempty"`
}

// Message is a message to the run, once it is durable. It waits until the run receives it.
type Message struct {
	N    int    `json:"n" cbor:"1,keyasint"`  // 1, 2, 3 within the receiving run
	ID   string `json:"id" cbor:"2,keyasint"` // <run>-<call> of the sender, the key of a client, or generated
	Type string `json:"type" cbor:"3,keyasint"`
	Body Bytes  `json:"body" cbor:"4,keyasint,omitempty"`           // JSON
	From string `json:"from,omitempty" cbor:"5,keyasint,omitempty"` // the run that sent it, "" if a client did
	Call int    `json:"call,omitempty" cbor:"6,keyasint,omitempty"` // number of the send call in that run
	// Key is chosen by a client against duplicates: a second message with the same key is ignored.
	Key string `json:"key,omitempty" cbor:"7,keyasint,omitempty"`
	Who string `json:"who,omitempty" cbor:"8,keyasint,omitempty"`
}

// Pause pauses or resumes a run. A paused run takes no turns.
type Pause struct {
	// Hold also keeps the run from beginning or retrying calls, because its knowledge of the outside may be outdated.
	// It is independent of a pause, and the first Resume lifts it.
	Hold   bool   `json:"hold,omitempty" cbor:"4,keyasint,omitempty"`
	Resume bool   `json:"resume,omitempty" cbor:"1,keyasint,omitempty"`
	Who    string `json:"who,omitempty" cbor:"2,keyasint,omitempty"`
	Note   string `json:"note,omitempty" cbor:"3,keyasint,omitempty"`
	// Lost, with Hold, says that the run is held because the database may have lost acknowledged writes, until somebody
	// accepts its history.
	Lost bool `json:"lost,omitempty" cbor:"5,keyasint,omitempty"`
}

// Stage is a point in the exchange with a server: connected, sent, answered or failed.
type Stage struct {
	Name string `json:"name" cbor:"1,keyasint"`
	At   int64  `json:"at" cbor:"2,keyasint"` // Unix nanoseconds
}

// Attempt is the beginning of an attempt, or the end of one that another follows.
type Attempt struct {
	Call   int     `json:"call" cbor:"1,keyasint"`
	N      int     `json:"n" cbor:"2,keyasint"`      // 1, 2, 3
	Result string  `json:"result" cbor:"3,keyasint"` // with Begun: set only if a restart began the attempt, and says why
	Stages []Stage `json:"stages,omitempty" cbor:"4,keyasint,omitempty"`
	// Next is when the next attempt begins (Unix nanoseconds). It has not begun until an entry with Begun follows.
	Next int64 `json:"next,omitempty" cbor:"5,keyasint,omitempty"`
	// Begun marks the start of attempt N: from here on its outcome may be unknown.
	Begun bool `json:"begun,omitempty" cbor:"6,keyasint,omitempty"`
	// Waits says what the attempt after N waits for: a rate-limit permit of its host.
	Waits string `json:"waits,omitempty" cbor:"40,keyasint,omitempty"`
	// Failed and Rule, at the end of an attempt, say how it failed and by which rule another one follows.
	Failed *TryFailure `json:"failed,omitempty" cbor:"41,keyasint,omitempty"`
	Rule   string      `json:"rule,omitempty" cbor:"42,keyasint,omitempty"`
	// Since is when the first attempt of the call began, Until when retries end, in Unix nanoseconds; 0 means no limit.
	Since int64 `json:"since,omitempty" cbor:"43,keyasint,omitempty"`
	Until int64 `json:"until,omitempty" cbor:"44,keyasint,omitempty"`
	// Sent is when the first attempt began that may have reached the server and whose outcome is unknown, or 0. Under
	// an idempotency key with a limited lifetime, a status such as 504 also leaves the outcome open.
	Sent int64 `json:"sent,omitempty" cbor:"45,keyasint,omitempty"`
	// Mild says that all attempts since Sent that may have taken effect were answered with such a status.
	Mild bool `json:"mild,omitempty" cbor:"51,keyasint,omitempty"`
	// Reached is when the first attempt began that reached the server, whatever its outcome: since then the server
	// knows its idempotency key. 0 if there is none, or in older logs.
	Reached int64 `json:"reached,omitempty" cbor:"46,keyasint,omitempty"`
	// Eased is how many attempts do not lengthen the waits, because a person asked for them.
	Eased int `json:"eased,omitempty" cbor:"47,keyasint,omitempty"`
	// Anew, with Next, says that the next attempt makes up for one that was interrupted: it has its full time-out, even
	// if a deadline has passed by then.
	Anew bool `json:"anew,omitempty" cbor:"50,keyasint,omitempty"`
}

// TryFailure says how an attempt failed.
type TryFailure struct {
	Kind   string `json:"kind" cbor:"1,keyasint"`                       // not_sent, unknown or answered
	Reason string `json:"reason,omitempty" cbor:"2,keyasint,omitempty"` // why it was not sent: dial, name, tls, ...
	Status int    `json:"status,omitempty" cbor:"3,keyasint,omitempty"` // of the response, if there was one
}

// Unknown says that the outcome of a call is unknown. The run waits for a decision.
type Unknown struct {
	Call   int     `json:"call" cbor:"1,keyasint"`
	Reason string  `json:"reason" cbor:"2,keyasint"`
	Stages []Stage `json:"stages,omitempty" cbor:"3,keyasint,omitempty"`
	// Reached is as in Arrival.
	Reached int64 `json:"reached,omitempty" cbor:"51,keyasint,omitempty"`
	// Lost is set if the log does not have the call, because the database has lost acknowledged writes.
	Lost *LostCall `json:"lost,omitempty" cbor:"52,keyasint,omitempty"`
	// Unseen is the number of the attempt whose outcome is unknown, if the server that began it was not seen to stop: it may
	// still send the request, and it may learn the outcome. 0 means that nothing is being sent any more.
	Unseen int `json:"unseen,omitempty" cbor:"53,keyasint,omitempty"`
}

// LostCall is a call that was made before the database lost the turn that made it.
type LostCall struct {
	Request string `json:"request,omitempty" cbor:"1,keyasint,omitempty"` // a summary for people
}

// Adopted says, in a fork, that a spawn call is answered by a child of the original run, and that no other child is
// started.
type Adopted struct {
	Call int    `json:"call" cbor:"1,keyasint"`
	Run  string `json:"run" cbor:"2,keyasint"` // the child
}

// Resolution is a person's decision about a call whose outcome is unknown.
type Resolution string

// Values of [Resolution].
const (
	Retry   Resolution = "retry"    // it did not happen: send it again
	Respond Resolution = "response" // it happened, and this was the answer
	Tell    Resolution = "error"    // return an error to the code, so that it can compensate
	Fail    Resolution = "fail"     // fail the run
)

// GiveUp ends the retries of a call. It is logged like a resolution, but is not one.
const GiveUp Resolution = "give-up"

// Decision is a person's decision about a call: one of unknown outcome, or, with [Retry] and [GiveUp], one that waits
// for its next attempt.
type Decision struct {
	Call       int        `json:"call" cbor:"1,keyasint"`
	Resolution Resolution `json:"resolution" cbor:"2,keyasint"`
	Text       string     `json:"text,omitempty" cbor:"3,keyasint,omitempty"` // the error for the code
	Status     int        `json:"status,omitempty" cbor:"4,keyasint,omitempty"`
	Body       Bytes      `json:"body,omitempty" cbor:"5,keyasint,omitempty"` // the response
	Who        string     `json:"who,omitempty" cbor:"6,keyasint,omitempty"`
	Note       string     `json:"note,omitempty" cbor:"7,keyasint,omitempty"` // why
	// Confirm, with [Retry], says that the call is to be sent again although the server that made it was not seen to stop,
	// so the call may be made twice, see Doubt.Unseen.
	Confirm bool `json:"confirm,omitempty" cbor:"8,keyasint,omitempty"`
}

// Cancel cancels the run. The code is notified and may compensate.
type Cancel struct {
	Who  string `json:"who,omitempty" cbor:"1,keyasint,omitempty"`
	Note string `json:"note,omitempty" cbor:"2,keyasint,omitempty"`
	// Deadline is when the run is terminated if it has not ended by then: Unix nanoseconds, 0 means never.
	Deadline int64 `json:"deadline,omitempty" cbor:"3,keyasint,omitempty"`
}

// End is an end the engine imposed: a person terminated the run, or decided that it has failed.
type End struct {
	Status  Status  `json:"status" cbor:"1,keyasint"`
	Failure Failure `json:"failure" cbor:"2,keyasint"`
	Who     string  `json:"who,omitempty" cbor:"3,keyasint,omitempty"`
}

// Origin says where a run has its history from. In that history its guest sees the id of the first run, so that it
// computes the same; [Turn.As] says from which turn on it sees another one.
type Origin struct {
	Run  string `json:"run" cbor:"1,keyasint"`            // the first run, whose id the guest sees
	Of   string `json:"of" cbor:"2,keyasint"`             // the run whose log was taken
	Turn int    `json:"turn" cbor:"3,keyasint,omitempty"` // the last shared turn; 0 means all

	// Redacted lists what was removed from the log before it was imported, as paths of an export.
	Redacted []string `json:"redacted,omitempty" cbor:"4,keyasint,omitempty"`
}

// Upgrade moves a run to another version of its module, with which its whole log is replayed from then on.
type Upgrade struct {
	Digest  string `json:"digest" cbor:"1,keyasint"`                      // of the new module
	From    string `json:"from" cbor:"2,keyasint"`                        // digest of the previous module
	Version int    `json:"version,omitempty" cbor:"3,keyasint,omitempty"` // of the new module
	Wake    int64  `json:"wake,omitempty" cbor:"4,keyasint,omitempty"`    // next timer of the guest with the new code: Unix nanoseconds
	Who     string `json:"who,omitempty" cbor:"5,keyasint,omitempty"`
}
