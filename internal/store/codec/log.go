package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/flawless-engine/flawless"
)

// AppendRecord appends one record to out, for use outside of a store: its length (4 bytes, big-endian) and its value.
func (c Codec) AppendRecord(out *bytes.Buffer, r flawless.Record) error {
	if err := CheckEntries(r.Entries); err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	at := out.Len()
	out.Write([]byte{0, 0, 0, 0})
	if err := c.Encode(out, &Record{Epoch: r.Epoch, Entries: r.Entries}); err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	binary.BigEndian.PutUint32(out.Bytes()[at:], uint32(out.Len()-at-4))
	return nil
}

// UnmarshalLog decodes the records of a log and numbers them from 0. It returns [flawless.Damaged] if b
// is incomplete or was changed, and [flawless.TooLarge], before it decodes anything, if the log has more
// than maxItems lists and structs: each of them takes memory even if it is empty.
func (c Codec) UnmarshalLog(b []byte, maxItems int) ([]flawless.Record, error) {
	if n := logItems(b); n > maxItems {
		return nil, fmt.Errorf("a log of %d bytes has %d lists and structs, but at most %d are allowed: %w", len(b), n, maxItems, flawless.TooLarge)
	}
	var out []flawless.Record
	for len(b) > 0 {
		n := uint64(len(out))
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil, fmt.Errorf("record %d of a log is incomplete: %w", n, flawless.Damaged)
		}
		size := binary.BigEndian.Uint32(b)
		var r Record
		if err := c.Decode(b[4:4+size], &r); err != nil {
			return nil, fmt.Errorf("record %d of a log: %w", n, err)
		}
		out = append(out, flawless.Record{Seq: n, Epoch: r.Epoch, Entries: r.Entries})
		b = b[4+size:]
	}
	return out, nil
}

// logItems counts the records of a log and the lists and structs in them.
func logItems(b []byte) (n int) {
	for len(b) >= 4 {
		size := min(uint64(binary.BigEndian.Uint32(b)), uint64(len(b)-4))
		n += 1 + items(b[4:4+size])
		b = b[4+size:]
	}
	return n
}

// items counts the arrays and maps in a value. CBOR heads follow one another regardless of nesting, so a
// flat loop finds them all. For input that is not CBOR, the count is meaningless but below len(value).
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
