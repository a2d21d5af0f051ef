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
		if err := p.AppendRecord(&out, r); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// AppendRecord appends a record of a log to out.
func (p Portable) AppendRecord(out *bytes.Buffer, r flawless.Record) error {
	if err := checkEntries(r.Entries); err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	at := out.Len()
	out.Write([]byte{0, 0, 0, 0})
	if err := p.codec.encode(out, &record{Epoch: r.Epoch, Entries: r.Entries}); err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	binary.BigEndian.PutUint32(out.Bytes()[at:], uint32(out.Len()-at-4))
	return nil
}

// UnmarshalLog returns the records of a log from bytes, numbered from 0. Bytes that are not whole or
// were changed are flawless.Damaged. A log of more lists and structs than maxItems, of which each
// takes memory however few bytes it has, is flawless.TooLarge, and none of it is decoded then.
func (p Portable) UnmarshalLog(b []byte, maxItems int) ([]flawless.Record, error) {
	if n := logItems(b); n > maxItems {
		return nil, fmt.Errorf("a log of %d bytes has %d lists and structs, at most %d are taken: %w", len(b), n, maxItems, flawless.TooLarge)
	}
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

// logItems counts the records of a log, and the lists and structs in them.
func logItems(b []byte) (n int) {
	for len(b) >= 4 {
		size := min(uint64(binary.BigEndian.Uint32(b)), uint64(len(b)-4))
		n += 1 + items(b[4:4+size])
		b = b[4+size:]
	}
	return n
}

// items counts the arrays and maps in a value. The heads of CBOR follow one another, whatever is nested
// in what, so that they need not be understood. What is no CBOR gives any number below its length.
func items(value []byte) (n int) {
	if len(value) < envelope {
		return 0
	}
	const byteString, textString, array, pairs = 2, 3, 4, 5
	for b := value[1 : len(value)-4]; len(b) > 0; {
		major, arg := b[0]>>5, uint64(b[0]&31)
		b = b[1:]
		if arg >= 24 && arg < 28 {
			size := 1 << (arg - 24)
			if len(b) < size {
				return n
			}
			arg = 0
			for _, x := range b[:size] {
				arg = arg<<8 | uint64(x)
			}
			b = b[size:]
		}
		switch major {
		case array, pairs:
			n++
		case byteString, textString:
			b = b[min(arg, uint64(len(b))):]
		}
	}
	return n
}
