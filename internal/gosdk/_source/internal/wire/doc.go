// Package wire reads and writes the JSON of the guest interface: the heads of calls and answers.
//
// It does so without reflection, because encoding/json costs a guest about 15 µs per call and plain bytes cost 0.2 µs.
// It knows the form of heads and nothing of what they mean; package flawless turns them into results and errors.
// Values of workflows, such as inputs and messages, are encoded by encoding/json, not here.
package wire
