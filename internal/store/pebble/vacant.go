package pebble

import cockroach "github.com/cockroachdb/pebble/v2"

// vacant are the first bytes of keys of which there is none: most writes expect that a key of them is not
// there, and those need not be looked up.
type vacant struct {
	none   [256]bool
	missed [256]uint16 // keys that were not there, since somebody looked whether there are any
}

// miss is told of a key that is not there. Now and then it looks whether there is any of its first byte.
func (v *vacant) miss(kv *cockroach.DB, key []byte) error {
	if len(key) == 0 {
		return nil
	}
	first := key[0]
	v.missed[first]++
	if v.missed[first] != 1 {
		return nil
	}
	o := &cockroach.IterOptions{LowerBound: []byte{first}}
	if first < 0xff {
		o.UpperBound = []byte{first + 1}
	}
	it, err := kv.NewIter(o)
	if err != nil {
		return err
	}
	v.none[first] = !it.First() && it.Error() == nil
	return it.Close()
}

func (v *vacant) has(key []byte) bool { return len(key) > 0 && v.none[key[0]] }

// fill is told of a key that is written.
func (v *vacant) fill(key []byte) {
	if len(key) > 0 {
		v.none[key[0]] = false
	}
}
