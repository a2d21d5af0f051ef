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

// MaxID is the maximum length of a run id in bytes.
const MaxID = 200

// NewRunID returns a new id for a run that starts now: wkf_ and the 26 base32 digits (Crockford, lower case) of a
// UUIDv7 (RFC 9562 section 5.7), so that ids sort by time. It may be called concurrently.
func NewRunID(now time.Time) string { return newID("wkf_", now) }

// NewStoreID returns a new id for a store, which has the form of a run id with the prefix sto_.
func NewStoreID(now time.Time) string { return newID("sto_", now) }

func newID(kind string, now time.Time) string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails: crypto/rand aborts the process instead
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

// Maximum lengths of names in bytes.
const (
	MaxName         = 100 // modules and schedules
	MaxWorkflowName = 200
	MaxStateName    = 200
)

// CheckID returns nil if id is a valid run id, otherwise [Invalid] with the reason.
func CheckID(id string) error { return checkText("a run's id", id, MaxID, " /") }

// CheckNewID is [CheckID] for an id that a caller chooses. An id that ends in a dot and digits belongs to a child:
// the run before the dot needs it for the call with that number. Ids for times of a schedule belong to the schedule
// (see [ScheduledID]).
func CheckNewID(id string) error {
	if err := CheckImportedID(id); err != nil {
		return err
	}
	if parent, call, found := cutLast(id, '.'); found && isCall(call) {
		first := FamilyOf(id)
		return fmt.Errorf("a run's id %q ends in a dot and digits: only a child has such an id, this one that of call %s of run %q; use another, such as %q: %w",
			id, call, parent, first+strings.ReplaceAll(id[len(first):], ".", "-"), Invalid)
	}
	return nil
}

// CheckImportedID is [CheckNewID] for an imported run that keeps its id, and may be a child.
func CheckImportedID(id string) error {
	if err := CheckID(id); err != nil {
		return err
	}
	if strings.ContainsRune(id, utf8.RuneError) { // two different ids that are not Unicode would become equal
		return fmt.Errorf("a run's id %q has the character U+FFFD, which replaces what is not Unicode, such as half of a surrogate pair; choose another: %w", id, Invalid)
	}
	if _, after, _ := cutLast(FamilyOf(id), '@'); isTime(after) {
		return fmt.Errorf("a run's id %q ends with an @ and a time, as only the runs of a schedule and their children do; choose another: %w", id, Invalid)
	}
	return nil
}

// FamilyOf returns the id of the run from which a run with this id descends, or the id itself: each spawn adds a dot and
// the number of its call. The family of order-7.3.1 is order-7.
func FamilyOf(id string) string {
	for {
		before, call, found := cutLast(id, '.')
		if !found || !isCall(call) {
			return id
		}
		id = before
	}
}

func isCall(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// ScheduledID returns the id of the run that a schedule starts for a time.
func ScheduledID(schedule string, at time.Time) string {
	return schedule + "@" + at.UTC().Format(time.RFC3339)
}

// isTime reports whether text is a time in any form of RFC 3339.
func isTime(text string) bool {
	_, err := time.Parse(time.RFC3339, strings.ToUpper(text))
	return err == nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// CheckName returns nil if name is a valid name of a module or schedule, otherwise [Invalid] with the reason. what
// describes it in the error, such as "a module's name".
func CheckName(what, name string) error {
	for i := range len(name) {
		c := name[i]
		alone := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alone && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			name = ""
			break
		}
	}
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%s must be 1 to %d letters, digits, dots, dashes and underscores, beginning with a letter or digit: %w", what, MaxName, Invalid)
	}
	return nil
}

// CheckWorkflowName returns nil if name is a valid name of a workflow, otherwise [Invalid] with the reason.
func CheckWorkflowName(name string) error {
	return checkText("a workflow's name", name, MaxWorkflowName, " /")
}

// CheckStateName returns nil if name is a valid name of a shared state, otherwise [Invalid] with the reason.
func CheckStateName(name string) error {
	return checkText("the name of a shared state", name, MaxStateName, "")
}

// CheckKey returns nil if key is valid as a key or type that callers choose freely and that appears in no URL, else
// [Invalid] with the reason. what names it in the error, such as "the key of a message".
func CheckKey(what, key string) error { return checkVisible(what, key, MaxID, "") }

// checkText is the rule for names that are chosen freely and used in paths: they must survive every URL and be
// visible in every list. without has further characters that are not allowed.
func checkText(what, text string, maxLen int, without string) error {
	if text == "." || text == ".." || text == "/" { // the router treats a lone slash as the end of the path, even if it is escaped
		return fmt.Errorf("%s is %q, which cannot be part of a URL path; choose another: %w", what, text, Invalid)
	}
	return checkVisible(what, text, maxLen, without)
}

// checkVisible is the rule for names that are chosen freely and shown: a person must see all of a name in a list, so that
// it can be typed again.
func checkVisible(what, text string, maxLen int, without string) error {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(without, r) }
	switch {
	case text == "":
		return fmt.Errorf("%s is empty: %w", what, Invalid)
	case len(text) > maxLen:
		return fmt.Errorf("%s has %d bytes, but at most %d are allowed: %w", what, len(text), maxLen, Invalid)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s is not UTF-8: %w", what, Invalid)
	case strings.ContainsFunc(text, odd) && strings.Contains(without, "/"):
		return fmt.Errorf("%s %q contains a space, a slash or an unprintable character: %w", what, text, Invalid)
	case strings.ContainsFunc(text, odd):
		return fmt.Errorf("%s %q contains an unprintable character: %w", what, text, Invalid)
	case strings.TrimSpace(text) != text:
		return fmt.Errorf("%s %q begins or ends with a space: %w", what, text, Invalid)
	}
	return nil
}
