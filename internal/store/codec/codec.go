// Package codec encodes what the store keeps: records, heads, leases and everything else, as CBOR in an
// envelope with a format number and a checksum.
//
// It hides the CBOR library. It guarantees that equal values have equal bytes, which the store's
// expectations depend on, that a value which was changed or cut is reported as [flawless.Damaged] instead
// of being misread, and that decoding cannot take much more memory than the input has bytes. Records are
// on the path of every turn, so their common forms have an encoder and a decoder of their own. The
// package knows nothing of keys or databases.
package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/fxamacker/cbor/v2"

	"github.com/flawless-engine/flawless"
)

// Every value is wrapped in an envelope:
//
//	+--------+---------+-------------------------------+
//	| format | payload | CRC-32C of both, 4 bytes, LE  |
//	+--------+---------+-------------------------------+
//	  1 byte
//
// The payload is core deterministic CBOR (RFC 8949, section 4.2), except for data and binaries, which are
// stored as they are. Structs are maps with numeric keys, times are text (RFC 3339, UTC, nanoseconds).
// Text may contain bytes that are not UTF-8: a guest may log any bytes, and must get the same ones back.
const (
	envelope = 5                 // bytes around a payload
	maxValue = 1 << 28           // bytes of a value
	maxItems = flawless.MaxItems // elements of an array: calls, answers or lines of a turn
	maxPairs = 64                // entries of a map: fields of a struct, labels
	maxDepth = 16                // nesting of maps and arrays
)

// Codec encodes and decodes values. It may be used concurrently.
type Codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
	crc *crc32.Table
}

// New returns a codec.
func New() (Codec, error) {
	eo := cbor.CoreDetEncOptions()
	eo.Time = cbor.TimeRFC3339NanoUTC
	enc, err := eo.UserBufferEncMode()
	if err != nil {
		return Codec{}, fmt.Errorf("preparing the encoder: %w", err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   maxDepth,
		MaxArrayElements:  maxItems,
		MaxMapPairs:       maxPairs,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8DecodeInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		return Codec{}, fmt.Errorf("preparing the decoder: %w", err)
	}
	return Codec{enc, dec, crc32.MakeTable(crc32.Castagnoli)}, nil
}

// Encode appends the encoded v to b. It returns [flawless.TooLarge] above the limit of a value.
func (c Codec) Encode(b *bytes.Buffer, v any) error {
	from := b.Len()
	b.WriteByte(flawless.LogFormat)
	if r, ok := v.(*Record); ok && r.Cut == nil && usual(r.Entries) {
		b.Write(appendRecord(b.AvailableBuffer(), r))
	} else if err := c.enc.MarshalToBuffer(v, b); err != nil {
		return err
	}
	return c.seal(b, from)
}

// AppendRaw appends payload to b in an envelope, without encoding it.
func (c Codec) AppendRaw(b *bytes.Buffer, payload []byte) error {
	from := b.Len()
	b.WriteByte(flawless.LogFormat)
	b.Write(payload)
	return c.seal(b, from)
}

// AppendFormat appends an empty value to b whose envelope has a number of its own in place of that of the log.
func (c Codec) AppendFormat(b *bytes.Buffer, format byte) error {
	from := b.Len()
	b.WriteByte(format)
	return c.seal(b, from)
}

// seal appends the checksum of what b has from an offset on.
func (c Codec) seal(b *bytes.Buffer, from int) error {
	if n := b.Len() - from; n > maxValue-4 {
		return fmt.Errorf("it has %d bytes, but at most %d can be stored: %w", n, maxValue-4, flawless.TooLarge)
	}
	sum := crc32.Checksum(b.Bytes()[from:], c.crc)
	b.Write(binary.LittleEndian.AppendUint32(b.AvailableBuffer(), sum))
	return nil
}

// Check verifies the checksum of a value, whatever its format. It returns [flawless.Damaged] if it is wrong.
func (c Codec) Check(value []byte) error {
	if len(value) < envelope {
		return fmt.Errorf("%d bytes are too few for a value: %w", len(value), flawless.Damaged)
	}
	body, tail := value[:len(value)-4], value[len(value)-4:]
	if want, sum := binary.LittleEndian.Uint32(tail), crc32.Checksum(body, c.crc); sum != want {
		return fmt.Errorf("its checksum is %08x, but its bytes give %08x: %w", want, sum, flawless.Damaged)
	}
	return nil
}

// Open verifies a value and returns its payload, which shares memory with it.
func (c Codec) Open(value []byte) ([]byte, error) {
	if err := c.Check(value); err != nil {
		return nil, err
	}
	if value[0] != flawless.LogFormat {
		return nil, fmt.Errorf("its format is %d, but this engine knows only %d: %w", value[0], flawless.LogFormat, flawless.Damaged)
	}
	return value[1 : len(value)-4], nil
}

// Decode decodes a value into v. Afterwards v shares no memory with the value.
func (c Codec) Decode(value []byte, v any) error {
	payload, err := c.Open(value)
	if err != nil {
		return err
	}
	if r, ok := v.(*Record); ok {
		if parsed, ok := parseRecord(bytes.Clone(payload)); ok {
			*r = parsed
			return nil
		}
	}
	if err := c.dec.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("it cannot be decoded: %w: %w", err, flawless.Damaged)
	}
	return nil
}
