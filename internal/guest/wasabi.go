package guest

import (
	"bytes"
	"encoding/binary"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/wasabi"
)

// StopSection is [wasabi.StopSection].
func StopSection() []byte { return wasabi.StopSection() }

// submit is the host function of guests that were built with the crates of flawless.dev. It takes a command, blocks
// until it is carried out, and returns the result in memory that the guest allocates and owns.
//
//	in, size     the command
//	ptr, length  where to put the address and the length of the result
//	result       0
func submit(i *Instance, s []uint64) uint32 {
	if i.session == nil {
		trap("the guest called wasabi.submit outside of a workflow of the crate flawless")
	}
	if s[1] > wasabi.MaxCommand {
		trap("the guest submitted a command of %d bytes, at most %d are allowed", s[1], wasabi.MaxCommand)
	}
	result, broke := i.session.Submit(bytes.Clone(i.bytesAt("command", s[0], s[1])))
	if broke != nil {
		panic(&fault{broke.Kind, broke.Text})
	}
	stack := []uint64{uint64(len(result))}
	if err := i.alloc.CallWithStack(i.ctx, stack); err != nil {
		panic(err) // the guest's own: it unwinds on
	}
	at := uint64(uint32(stack[0]))
	copy(i.bytesAt("buffer for a result", at, uint64(len(result))), result)
	binary.LittleEndian.PutUint32(i.bytesAt("place for an address", s[2], 4), uint32(at))
	binary.LittleEndian.PutUint32(i.bytesAt("place for a length", s[3], 4), uint32(len(result)))
	return 0
}

// crateGuest is an instance as the sessions of package wasabi see it.
type crateGuest struct{ i *Instance }

func (g crateGuest) Call(kind string, head, body []byte) int {
	g.i.item(len(head)+len(body), 2)
	return g.i.addCall(kind, head, body)
}

func (g crateGuest) Await(calls ...int) flawless.Answer {
	for {
		for _, n := range calls {
			if a, there := g.i.visible[n]; there {
				delete(g.i.visible, n)
				return a.Answer
			}
		}
		g.i.pause()
	}
}

func (g crateGuest) Expects(head []byte) bool { return g.i.expect == nil || g.i.expects(head) }

func (g crateGuest) Log(level, text string) {
	g.i.item(len(text), 1)
	g.i.logLine(flawless.Line{Level: level, Text: text})
}

func (g crateGuest) Publish(data []byte) {
	g.i.weigh(len(data))
	g.i.out.Data = data
}

func (g crateGuest) Now() int64     { return g.i.now }
func (g crateGuest) Random() uint64 { return g.i.random.Uint64() }
func (g crateGuest) Input() []byte  { return g.i.visible[0].Body }

func (g crateGuest) Placeholder(secret string) string {
	return flawless.Placeholder(secret, g.i.secrets)
}
