package flawless

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// MaxID is the longest id of a run, in bytes.
const MaxID = 200

// NewRunID returns a new id for a run that starts now: `wkf_` and the 26 base32 digits (Crockford,
// lower case) of a UUIDv7 (RFC 9562 section 5.7), so that ids sort by time. It may be called
// concurrently.
func NewRunID(now time.Time) string { return newID("wkf_", now) }

// NewStoreID returns a new id for a store, which begins with `sto_` and is made as that of a run.
func NewStoreID(now time.Time) string { return newID("sto_", now) }

func newID(kind string, now time.Time) string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails: crypto/rand ends the process instead
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(u[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(u[2:], uint32(ms))
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80

	hi, lo := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	var b [30]byte
	for i := len(b) - 1; i >= 4; i-- {
		b[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	copy(b[:], kind)
	return string(b[:])
}

// CheckID returns nil where id can be the id of a run, or [Invalid] with the reason.
func CheckID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("a run's id is empty: %w", Invalid)
	case len(id) > MaxID:
		return fmt.Errorf("a run's id has %d bytes, at most %d are allowed: %w", len(id), MaxID, Invalid)
	case !utf8.ValidString(id):
		return fmt.Errorf("a run's id is not UTF-8: %w", Invalid)
	case strings.ContainsFunc(id, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == '/' }):
		return fmt.Errorf("a run's id %q has a space, a slash or a control character: %w", id, Invalid)
	}
	return nil
}
