package pebble

import (
	"bytes"

	cockroach "github.com/cockroachdb/pebble/v2"
)

// last knows for each first byte of keys one behind which no key of that byte lies. Most writes expect that
// a key is not there, and most of these keys are new ones behind all others: those need not be looked up.
type last struct {
	keys  [256][]byte
	known [256]bool // by the first byte
}

// beyond tells whether it is known that neither key is there nor one behind it with the same first byte.
func (l *last) beyond(key []byte) bool {
	return len(key) > 0 && l.known[key[0]] && bytes.Compare(key, l.keys[key[0]]) > 0
}

// learn looks for the last key with the same first byte, where it is not known.
func (l *last) learn(kv *cockroach.DB, key []byte) error {
	if len(key) == 0 || l.known[key[0]] {
		return nil
	}
	first := key[0]
	o := &cockroach.IterOptions{LowerBound: []byte{first}}
	if first < 0xff {
		o.UpperBound = []byte{first + 1}
	}
	it, err := kv.NewIter(o)
	if err != nil {
		return err
	}
	if it.Last() {
		l.keys[first] = bytes.Clone(it.Key())
	}
	l.known[first] = it.Error() == nil
	return it.Close()
}

// put is told of a key that is written.
func (l *last) put(key []byte) {
	if l.beyond(key) {
		l.keys[key[0]] = append(l.keys[key[0]][:0], key...)
	}
}
