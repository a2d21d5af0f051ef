package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/flawless-engine/flawless"
	"github.com/fxamacker/cbor/v2"
)

// An envelope is what values lie in:
//
//	+--------+---------+-------------------------------+
//	| format | payload | CRC-32C of all before, 4, LE  |
//	+--------+---------+-------------------------------+
//	  1 byte
//
// The payload is CBOR, core deterministic (RFC 8949 section 4.2), but for data and binaries, which
// are kept as they are. Structs are maps with numbers as keys, moments are text (RFC 3339, UTC,
// nanoseconds). Text may hold bytes that are not UTF-8: a guest may log any, and gets back the same.
const (
	envelope = 5                 // bytes around a payload
	maxValue = 1 << 28           // bytes of a value
	maxItems = flawless.MaxItems // of an array: calls, answers or lines of a turn
	maxPairs = 64                // of a map: fields of a struct, labels
	maxDepth = 16                // nested maps and arrays
)

// codec turns words into values and back. It may be used concurrently.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
	crc *crc32.Table
}

func newCodec() (codec, error) {
	eo := cbor.CoreDetEncOptions()
	eo.Time = cbor.TimeRFC3339NanoUTC
	enc, err := eo.UserBufferEncMode()
	if err != nil {
		return codec{}, fmt.Errorf("preparing the encoder: %w", err)
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
		return codec{}, fmt.Errorf("preparing the decoder: %w", err)
	}
	return codec{enc, dec, crc32.MakeTable(crc32.Castagnoli)}, nil
}

// encode appends the value of v to b.
func (c codec) encode(b *bytes.Buffer, v any) error {
	from := b.Len()
	b.WriteByte(flawless.LogFormat)
	if r, ok := v.(*record); ok && r.Cut == nil && usual(r.Entries) {
		b.Write(appendRecord(b.AvailableBuffer(), r))
	} else if err := c.enc.MarshalToBuffer(v, b); err != nil {
		return err
	}
	return c.seal(b, from)
}

// raw appends the value of bytes that are kept as they are to b.
func (c codec) raw(b *bytes.Buffer, payload []byte) error {
	from := b.Len()
	b.WriteByte(flawless.LogFormat)
	b.Write(payload)
	return c.seal(b, from)
}

func (c codec) seal(b *bytes.Buffer, from int) error {
	if n := b.Len() - from; n > maxValue-4 {
		return fmt.Errorf("it has %d bytes, at most %d can be kept: %w", n, maxValue-4, flawless.TooLarge)
	}
	sum := crc32.Checksum(b.Bytes()[from:], c.crc)
	b.Write(binary.LittleEndian.AppendUint32(b.AvailableBuffer(), sum))
	return nil
}

// check returns an error unless a value is as it was written, in whatever format.
func (c codec) check(value []byte) error {
	if len(value) < envelope {
		return fmt.Errorf("%d bytes are too few for a value: %w", len(value), flawless.Damaged)
	}
	body, tail := value[:len(value)-4], value[len(value)-4:]
	if want, sum := binary.LittleEndian.Uint32(tail), crc32.Checksum(body, c.crc); sum != want {
		return fmt.Errorf("its checksum is %08x, its bytes give %08x: %w", want, sum, flawless.Damaged)
	}
	return nil
}

// open returns the payload of a value, which shares its bytes.
func (c codec) open(value []byte) ([]byte, error) {
	if err := c.check(value); err != nil {
		return nil, err
	}
	if value[0] != flawless.LogFormat {
		return nil, fmt.Errorf("its format is %d, this engine knows %d: %w", value[0], flawless.LogFormat, flawless.Damaged)
	}
	return value[1 : len(value)-4], nil
}

// decode fills v from a value. What v holds afterwards shares nothing with the value.
func (c codec) decode(value []byte, v any) error {
	payload, err := c.open(value)
	if err != nil {
		return err
	}
	if r, ok := v.(*record); ok {
		if parsed, ok := parseRecord(bytes.Clone(payload)); ok {
			*r = parsed
			return nil
		}
	}
	if err := c.dec.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("it does not decode: %w: %w", err, flawless.Damaged)
	}
	return nil
}
