package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/flawless-engine/flawless"
)

// Portable turns logs and images into bytes that can leave the store, and back. Each record is its
// length (4 bytes, big-endian) and a value as the store keeps it, with format and checksum. It may be
// used concurrently.
type Portable struct{ codec codec }

// NewPortable returns one.
func NewPortable() (Portable, error) {
	c, err := newCodec()
	return Portable{c}, err
}

// MarshalLog returns a log as bytes.
func (p Portable) MarshalLog(log []flawless.Record) ([]byte, error) {
	var out bytes.Buffer
	for _, r := range log {
		if err := checkEntries(r.Entries); err != nil {
			return nil, fmt.Errorf("record %d: %w", r.Seq, err)
		}
		at := out.Len()
		out.Write([]byte{0, 0, 0, 0})
		if err := p.codec.encode(&out, &record{Epoch: r.Epoch, Entries: r.Entries}); err != nil {
			return nil, fmt.Errorf("record %d: %w", r.Seq, err)
		}
		binary.BigEndian.PutUint32(out.Bytes()[at:], uint32(out.Len()-at-4))
	}
	return out.Bytes(), nil
}

// UnmarshalLog returns the records of a log from bytes, numbered from 0. Bytes that are not whole or
// were changed are flawless.Damaged.
func (p Portable) UnmarshalLog(b []byte) ([]flawless.Record, error) {
	var out []flawless.Record
	for len(b) > 0 {
		n := uint64(len(out))
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil, fmt.Errorf("record %d of a log is not complete: %w", n, flawless.Damaged)
		}
		size := binary.BigEndian.Uint32(b)
		var r record
		if err := p.codec.decode(b[4:4+size], &r); err != nil {
			return nil, fmt.Errorf("record %d of a log: %w", n, err)
		}
		out = append(out, flawless.Record{Seq: n, Epoch: r.Epoch, Entries: r.Entries})
		b = b[4+size:]
	}
	return out, nil
}

// MarshalImage returns an image as bytes.
func (p Portable) MarshalImage(m Image) ([]byte, error) {
	var out bytes.Buffer
	err := p.codec.encode(&out, &m)
	return out.Bytes(), err
}

// UnmarshalImage returns an image from bytes, or flawless.Damaged.
func (p Portable) UnmarshalImage(b []byte) (m Image, err error) {
	if err = p.codec.decode(b, &m); err != nil {
		err = fmt.Errorf("an image: %w", err)
	}
	return m, err
}
