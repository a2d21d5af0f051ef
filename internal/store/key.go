package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/flawless-engine/flawless"
)

// Keys, format 2. A key is one byte for the family, followed by parts. Keys sort by family, then by part. What is owned has
// its shard right after the family.
//
//	family    key                             value (in an envelope, see codec.go)
//	F format  F                               nothing; the envelope's number is the format
//	I identity I                              id of the store, and of its origin
//	l lease   l shard:2                       owner, epoch
//	h head    h shard id                      run, active, wake
//	r record  r shard id seq:8                epoch, entries
//	d data    d shard id                      the run's data, JSON
//	f frozen  f shard id                      an image of the run
//	c created c created:8 id                  -
//	s status  s status created:8 id           -
//	m module  m module created:8 id           -
//	w workflow w module workflow status created:8 id   -
//	L label   L name value status created:8 id   -
//	P parent  P parent created:8 id           -
//	G placed  G shard key id                  -
//	a active  a shard id                      -
//	t timer   t shard wake:8 id               -
//	v version v name version:8                module
//	b binary  b digest piece:8                32 KiB of the module's bytes
//	g state   g shard name                    value that runs share, holder
//	n node    n id                            one server of several on this database
//	C         C shard name                    schedule
//	H         H shard host                    rate limit of a host
//	K         K shard id                      trace of a removed run
//	D         D shard id                      nothing: the log of the run is being removed
//	T         T                               this database was copied to another one, or is a copy, see transfer.go
//	X         X                               generation of the indexes, 8 bytes; missing for generation 0
//	x rebuilt x generation:8 and a key        - rows of rebuilt indexes, from c to t
//	R         R                               key for the hashes of masked values
//	Z check   Z                               result of the last check of the store, JSON
//
//	shard     one byte: see ShardOf and ShardOfName
//	:2, :8    big-endian unsigned; times are Unix nanoseconds with the sign bit inverted
//	id, ...   text: byte 00 becomes 00 FF, and 00 01 is the end
//	-         an index: the value is empty and has no envelope
//
// Since every text has an end mark that cannot occur inside a text, no key is a prefix of another one, texts sort by
// their bytes whatever follows, and the rows of one id cannot be mistaken for those of another.
type family byte

const (
	familyFormat   family = 'F'
	familyIdentity family = 'I'
	familyLease    family = 'l'
	familyHead     family = 'h'
	familyRecord   family = 'r'
	familyData     family = 'd'
	familyImage    family = 'f'
	familyCreated  family = 'c'
	familyStatus   family = 's'
	familyModule   family = 'm'
	familyActive   family = 'a'
	familyTimer    family = 't'
	familyVersion  family = 'v'
	familyBinary   family = 'b'
	familyState    family = 'g'
)

// key is a key that is being built, or a prefix of keys.
type key []byte

func (k key) family(f family) key  { return append(k, byte(f)) }
func (k key) number(n uint64) key  { return binary.BigEndian.AppendUint64(k, n) }
func (k key) shard(n Shard) key    { return append(k, byte(n)) } // not for ShardOfCaps, which has no rows
func (k key) moment(ns int64) key  { return k.number(uint64(ns) ^ 1<<63) }
func (k key) time(t time.Time) key { return k.moment(nanoseconds(t)) }

func (k key) text(s string) key {
	for i := range len(s) {
		if k = append(k, s[i]); s[i] == 0 {
			k = append(k, 0xff)
		}
	}
	return append(k, 0, 1)
}

// end returns the first key after all keys with the prefix k, or nil if there is none.
func (k key) end() key {
	for i := len(k) - 1; i >= 0; i-- {
		if k[i] != 0xff {
			e := append(key(nil), k[:i+1]...)
			e[i]++
			return e
		}
	}
	return nil
}

// all returns the range of all keys with the prefix k.
func (k key) all() Range { return Range{From: k, To: k.end()} }

func keyFormat() key   { return key(nil).family(familyFormat) }
func keyIdentity() key { return key(nil).family(familyIdentity) }
func keyLease(sh Shard) key {
	return binary.BigEndian.AppendUint16(key(nil).family(familyLease), uint16(sh))
}
func keyHead(id string) key       { return familyHead.of(id) }
func keyRecords(id string) key    { return familyRecord.of(id) }
func keyData(id string) key       { return familyData.of(id) }
func keyImage(id string) key      { return familyImage.of(id) }
func keyVersions(name string) key { return key(nil).family(familyVersion).text(name) }
func keyBinary(digest string) key { return key(nil).family(familyBinary).text(digest) }
func keyState(name string) key    { return familyState.named(KindState, name) }

// of returns the key, or prefix of keys, of a run.
func (f family) of(run string) key { return key(nil).family(f).shard(ShardOf(run)).text(run) }

// named returns the key of what is owned under a name.
func (f family) named(k Kind, name string) key {
	return key(nil).family(f).shard(ShardOfName(k, name)).text(name)
}

// nanoseconds returns a time as keys contain it. Times out of range become the first or the last one.
func nanoseconds(t time.Time) int64 {
	switch y := t.Year(); {
	case y < 1678:
		return math.MinInt64
	case y > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// parts splits a key. It is bad after the first part that is missing.
type parts struct {
	rest []byte
	bad  bool
}

func (p *parts) skip(n int) {
	if n > len(p.rest) {
		p.bad, n = true, len(p.rest)
	}
	p.rest = p.rest[n:]
}

func (p *parts) number() uint64 {
	if len(p.rest) < 8 {
		p.bad, p.rest = true, nil
		return 0
	}
	n := binary.BigEndian.Uint64(p.rest)
	p.rest = p.rest[8:]
	return n
}

// shard reads the number of a shard in the key of a lease.
func (p *parts) shard() Shard {
	if len(p.rest) < 2 {
		p.bad, p.rest = true, nil
		return 0
	}
	n := binary.BigEndian.Uint16(p.rest)
	p.rest = p.rest[2:]
	return Shard(n)
}

func (p *parts) moment() int64 { return int64(p.number() ^ 1<<63) }

func (p *parts) text() string {
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

// whole returns an error unless the key had exactly the parts that were read.
func (p *parts) whole(k []byte) error {
	if p.bad || len(p.rest) > 0 {
		return fmt.Errorf("key %q is not one of this format: %w", k, flawless.Damaged)
	}
	return nil
}
