package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/flawless-engine/flawless"
)

// Keys, format 1. A key is one byte for the family, followed by parts. Keys sort by family, then by part.
//
//	family    key                             value (in an envelope, see codec.go)
//	F format  F                               nothing; the envelope's number is the format
//	I identity I                              id of the store, and of its origin
//	l lease   l shard:2                       owner, epoch
//	h head    h id                            run, active, wake
//	r record  r id seq:8                      epoch, entries
//	d data    d id                            the run's data, JSON
//	f frozen  f id                            an image of the run
//	c created c created:8 id                  -
//	s status  s status created:8 id           -
//	m module  m module created:8 id           -
//	w workflow w module workflow status created:8 id   -
//	L label   L name value status created:8 id   -
//	P parent  P parent created:8 id           -
//	G placed  G key id                        -
//	a active  a id                            -
//	t timer   t wake:8 id                     -
//	v version v name version:8                module
//	b binary  b digest piece:8                32 KiB of the module's bytes
//	g state   g name                          value that runs share, holder
//	n node    n id                            one server of several on this database
//	X         X                               generation of the indexes, 8 bytes; missing for generation 0
//	x rebuilt x generation:8 and a key        - rows of rebuilt indexes, from c to t
//	R         R                               key for the hashes of masked values
//	Z check   Z                               result of the last check of the store, JSON
//
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
func (k key) shard(n uint16) key   { return binary.BigEndian.AppendUint16(k, n) }
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

func keyFormat() key              { return key(nil).family(familyFormat) }
func keyIdentity() key            { return key(nil).family(familyIdentity) }
func keyLease(shard uint16) key   { return key(nil).family(familyLease).shard(shard) }
func keyHead(id string) key       { return key(nil).family(familyHead).text(id) }
func keyRecords(id string) key    { return key(nil).family(familyRecord).text(id) }
func keyData(id string) key       { return key(nil).family(familyData).text(id) }
func keyImage(id string) key      { return key(nil).family(familyImage).text(id) }
func keyVersions(name string) key { return key(nil).family(familyVersion).text(name) }
func keyBinary(digest string) key { return key(nil).family(familyBinary).text(digest) }
func keyState(name string) key    { return key(nil).family(familyState).text(name) }

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
