package key

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
)

// Parts reads the parts of a key one after another. After the first part that is missing, the others are zero, and
// [Parts.Whole] returns an error. It never changes the key.
type Parts struct {
	rest []byte
	bad  bool
}

// Split returns the parts of a key that follow its first skip bytes.
func Split(k []byte, skip int) Parts {
	if skip > len(k) {
		return Parts{bad: true}
	}
	return Parts{rest: k[skip:]}
}

// shardEnd is where the parts begin in the key of a family that has shards.
const shardEnd = 2

// SplitOwned returns the parts of a key that follow its shard.
func SplitOwned(k []byte) Parts { return Split(k, shardEnd) }

// ShardIn returns the shard in the key of a family that has shards, which must not be shorter than that.
func ShardIn(k []byte) Shard { return Shard(k[1]) }

// AfterShard returns the part of a key after its shard, in the memory of the key, which must not be shorter than that.
func AfterShard(k []byte) []byte { return k[shardEnd:] }

// Number reads what [Key.Number] has appended.
func (p *Parts) Number() uint64 {
	if len(p.rest) < 8 {
		p.bad, p.rest = true, nil
		return 0
	}
	n := binary.BigEndian.Uint64(p.rest)
	p.rest = p.rest[8:]
	return n
}

// Moment reads what [Key.Moment] has appended.
func (p *Parts) Moment() int64 { return int64(p.Number() ^ 1<<63) }

// Text reads what [Key.Text] has appended.
func (p *Parts) Text() string {
	var s []byte
	for i := 0; i+1 < len(p.rest); i++ {
		if p.rest[i] != 0 {
			s = append(s, p.rest[i])
			continue
		}
		switch i++; p.rest[i] {
		case 0xff:
			s = append(s, 0)
		case 1:
			p.rest = p.rest[i+1:]
			return string(s)
		default:
			p.bad, p.rest = true, nil
			return ""
		}
	}
	p.bad, p.rest = true, nil
	return ""
}

// Bad reports whether a part was missing so far.
func (p *Parts) Bad() bool { return p.bad }

// Whole returns [flawless.Damaged] with the key k unless it had exactly the parts that were read.
func (p *Parts) Whole(k []byte) error {
	if p.bad || len(p.rest) > 0 {
		return fmt.Errorf("key %q is not one of this format: %w", k, flawless.Damaged)
	}
	return nil
}

// Owner returns a copy of a key up to the first text after its shard, or nil if it has none: in a family of runs, the
// prefix of all keys of a run.
func Owner(k []byte) Key { return firstText(k, shardEnd) }

// FirstText returns a copy of a key of a family without shards up to its first text, or nil if it has none.
func FirstText(k []byte) Key { return firstText(k, 1) }

func firstText(k []byte, skip int) Key {
	p := Split(k, skip)
	if p.Text(); p.bad {
		return nil
	}
	return slices.Clone(k[:len(k)-len(p.rest)])
}
