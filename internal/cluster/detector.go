package cluster

import (
	"time"

	"github.com/flawless-engine/flawless"
)

// detector finds nodes that have stopped renewing their leases. Its zero value has seen none. It is not safe for
// concurrent use.
type detector struct {
	silence time.Duration // a number unchanged for this long means that its node is dead
	gap     time.Duration // the most that the time between two reads counts
	seen    map[string]sighting
}

// sighting is what was seen of a node since its number last changed.
type sighting struct {
	beat  uint64
	since time.Duration // when the first read that saw it had returned
	last  time.Duration // until when still counts: when the last read that saw it was sent, or the first had returned
	still time.Duration // for how long it was seen unchanged
	moved bool          // it was seen to change
}

// forget is how long a row stays after its node was called dead, so that people can see it.
const forget = time.Hour

// restart forgets what was seen of living nodes: what another database server shows may be older.
func (d *detector) restart() { d.seen = nil }

// observe takes the rows of a read that was sent and returned at these times, and returns what it says of the nodes,
// without those that live.
//
// The time from the return of the first read to the sending of the last is the shortest time for which the number may
// have been unchanged. Of a long time without a read, only a part counts: this machine may have slept, or the database may
// have been away, and then so it may have been for the others, who need a moment to renew their leases.
func (d *detector) observe(sent, returned time.Duration, nodes []flawless.Node) View {
	v := View{Ages: map[string]time.Duration{}, Renewed: map[string]bool{}}
	now := make(map[string]sighting, len(nodes))
	for _, n := range nodes {
		s, known := d.seen[n.ID]
		if !known || s.beat != n.Beat {
			s = sighting{beat: n.Beat, since: returned, last: returned, moved: known && s.beat != n.Beat}
		}
		if sent > s.last {
			s.still += min(sent-s.last, d.gap)
			s.last = sent
		}
		now[n.ID] = s
		v.Ages[n.ID] = max(0, sent-s.since)
		switch {
		case n.Dead && sent-s.since >= forget:
			v.Dead = append(v.Dead, n)
		case !n.Dead && s.still >= d.silence:
			v.Silent = append(v.Silent, n)
		case !n.Dead && s.moved:
			v.Renewed[n.ID] = true
		}
	}
	d.seen = now
	return v
}
