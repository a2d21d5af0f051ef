// Package ring remembers, outside of the database, which calls a server has made.
//
// A database that fails over to another server, or is restored from a backup, may lose writes that it had acknowledged. The
// logs in it then lack calls that have reached the outside. A Ring is a file in the server's working directory with the
// newest calls, each with the number of the write that its beginning depends on: those with a number beyond the last write
// that is left are the ones that the logs lack.
//
// The file is mapped into memory, so an entry costs no system call and survives the process, however that ends. It is not
// synced: after a crash of the machine the newest entries may be missing. [Ring.After] never hides that: it says whether it
// knows all calls after a write. The same goes for entries that newer ones have replaced.
//
// It does not know what is in the database, and decides nothing.
package ring

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"github.com/flawless-engine/flawless"
)

// Entry is a call that was about to be sent.
type Entry struct {
	Lane     int    // of the database, with Lane and N of the write that made the beginning of the attempt durable
	N        int64  //
	Run      string // at most 200 bytes
	Call     int
	Module   string // of the run
	Workflow string
	Request  string // a line for people, such as "POST https://pay.example/charges"; only the first 400 bytes are kept
}

// Limits.
const (
	MaxLanes   = 16
	MaxShards  = 257
	maxRequest = 400
	maxText    = 1000 // of any other text
	dataSize   = 16 << 20
)

// Ring is such a file. All methods may be called concurrently.
//
//	offset  size
//	0       16    magic
//	16      64    id of the database, padded with zeros
//	80      64    id of the ring, padded with zeros
//	144     64    boot of the machine that has written it, padded with zeros
//	208     8     inode of the file
//	216     8     1 if it was closed in order and synced
//	224     8     highest epoch that was seen
//	232     8     tail: where the oldest entry begins, counted from the first byte that was ever written
//	240     8     head: where the next entry begins
//	256     128   by lane: number of the last acknowledged write
//	384     128   by lane: highest number among the entries that were replaced, or are missing
//	512     2056  by shard: how far other servers had got with its claims
//	4096          entries, each at a multiple of 8
//
// An entry is its length and a CRC-32C of the rest (4 bytes each), lane and call (4 each), the number (8), and four texts with
// their lengths (2 each). Length ^0 means that the next entry is at the beginning of the area. All numbers are
// little-endian.
type Ring struct {
	id     string
	before [MaxLanes]int64 // acknowledged, as the file had it

	mu     sync.Mutex // guards the fields below, and the bytes
	mem    memory
	exact  bool // no entry can be missing
	closed bool
}

const magic = "flawless ring 1\n"

// Offsets in the file.
const (
	atDatabase = 16
	atID       = 80
	atBoot     = 144
	atInode    = 208
	atClean    = 216
	atEpoch    = 224
	atTail     = 232
	atHead     = 240
	atAcked    = 256
	atReplaced = 384
	atClaims   = 512
	atData     = 4096
	textField  = 64
)

var (
	order = binary.LittleEndian
	table = crc32.MakeTable(crc32.Castagnoli)
)

// memory is the contents of a file, which survive the process.
type memory interface {
	// bytes returns them.
	bytes() []byte
	// changed is called after a part of them was changed.
	changed(from, to int)
	// sync returns when everything is on stable storage.
	sync() error
	close() error
}

// Open opens the ring of a database in a directory, and creates it unless there is one. A ring of another database, a file
// that is none, and a copy of a ring are replaced by a new ring: it does not know of earlier calls. It returns
// [flawless.Invalid] if the file cannot be written. Only one process may have it open.
func Open(dir, database string) (*Ring, error) {
	r, err := open(dir, database, dataSize)
	if err != nil {
		return nil, fmt.Errorf("opening the file with the newest calls (%s): %w: %w", path(dir), err, flawless.Invalid)
	}
	return r, nil
}

func path(dir string) string { return filepath.Join(dir, "ring") }

func open(dir, database string, size int) (*Ring, error) {
	if len(database) > textField {
		return nil, errors.New("the id of the database is too long")
	}
	f, err := os.OpenFile(path(dir), os.O_RDWR, 0)
	if err == nil {
		r, err := load(f, database)
		if r != nil || err != nil {
			return r, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return create(dir, database, size)
}

// load returns the ring in a file, nil if it is none of this database. It owns the file.
func load(f *os.File, database string) (*Ring, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info.Size() < atData+8 || (info.Size()-atData)%8 != 0 {
		return nil, f.Close()
	}
	mem, err := mapFile(f, int(info.Size()))
	if err != nil {
		return nil, err
	}
	r := &Ring{mem: mem}
	b := mem.bytes()
	if string(b[:len(magic)]) != magic || r.text(atDatabase) != database || r.text(atID) == "" || r.number(atInode) != inode(info) {
		return nil, mem.close()
	}
	r.id = r.text(atID)
	for lane := range r.before {
		r.before[lane] = r.number(atAcked + 8*lane)
	}
	boot := bootID()
	r.exact = r.number(atClean) == 1 || boot != "" && r.text(atBoot) == boot
	if !r.consistent() {
		r.exact = false
		r.set(atTail, r.number(atHead))
	}
	r.setText(atBoot, boot)
	r.set(atClean, 0)
	return r, nil
}

// create creates an empty ring.
func create(dir, database string, size int) (*Ring, error) {
	temporary := path(dir) + ".new"
	f, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	// Not sparse: writing to mapped memory for which there is no space would end the process.
	_, err = f.Write(make([]byte, atData+size))
	info, failed := f.Stat()
	if err = errors.Join(err, failed); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(temporary))
	}
	mem, err := mapFile(f, atData+size)
	if err != nil {
		return nil, err
	}
	r := &Ring{mem: mem, id: rand.Text(), exact: true}
	r.setText(atDatabase, database)
	r.setText(atID, r.id)
	r.setText(atBoot, bootID())
	r.set(atInode, inode(info))
	copy(mem.bytes(), magic)
	mem.changed(0, atData)
	if err := os.Rename(temporary, path(dir)); err != nil {
		return nil, errors.Join(err, mem.close())
	}
	return r, nil
}

// ID returns the random id of the ring. It stays the same as long as the file exists.
func (r *Ring) ID() string { return r.id }

// Acknowledged returns, by lane, the number of the last write that was acknowledged when the ring was opened; 0 for none.
func (r *Ring) Acknowledged() []int64 { return r.before[:] }

// Acknowledge notes that a write was acknowledged. Writes are acknowledged in order.
func (r *Ring) Acknowledge(lane int, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lane < MaxLanes && !r.closed {
		r.set(atAcked+8*lane, n)
	}
}

// Continue notes the last writes that the database has, by lane, when it was opened and found to have all that were
// acknowledged, or after it was found to have lost some. Calls from before that may be missing if the machine has crashed.
func (r *Ring) Continue(numbers []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for lane, n := range numbers {
		r.set(atAcked+8*lane, n)
		if !r.exact {
			r.set(atReplaced+8*lane, max(n, r.number(atReplaced+8*lane)))
		}
	}
	r.exact = true
}

// Epoch notes an epoch, and returns the highest one that was noted.
func (r *Ring) Epoch(seen uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0
	}
	if int64(seen) > r.number(atEpoch) {
		r.set(atEpoch, int64(seen))
	}
	return uint64(r.number(atEpoch))
}

// Claim notes how far other servers have got with the claims of a shard, unless a higher number was noted, and returns the
// highest one that was noted before.
func (r *Ring) Claim(shard int, seen uint64) (before uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || shard >= MaxShards {
		return 0
	}
	if before = uint64(r.number(atClaims + 8*shard)); seen > before {
		r.set(atClaims+8*shard, int64(seen))
	}
	return before
}

// Put adds an entry. When it returns, the entry survives the process. It may replace the oldest ones.
func (r *Ring) Put(e Entry) {
	e.Request = clip(e.Request, maxRequest)
	e.Run, e.Module, e.Workflow = clip(e.Run, maxText), clip(e.Module, maxText), clip(e.Workflow, maxText)
	size := (24 + 8 + len(e.Run) + len(e.Module) + len(e.Workflow) + len(e.Request) + 7) &^ 7
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	b := r.data()
	at := r.number(atHead)
	if rest := len(b) - int(at)%len(b); rest < size { // it begins at the beginning of the area
		r.free(at + int64(rest))
		order.PutUint32(b[int(at)%len(b):], ^uint32(0))
		r.mem.changed(atData+int(at)%len(b), atData+int(at)%len(b)+4)
		at += int64(rest)
		r.set(atHead, at)
	}
	r.free(at + int64(size))
	from := int(at) % len(b)
	p := b[from : from+size]
	order.PutUint32(p, uint32(size))
	order.PutUint32(p[8:], uint32(e.Lane))
	order.PutUint32(p[12:], uint32(e.Call))
	order.PutUint64(p[16:], uint64(e.N))
	q := p[24:24]
	for _, text := range []string{e.Run, e.Module, e.Workflow, e.Request} {
		q = append(order.AppendUint16(q, uint16(len(text))), text...)
	}
	clear(p[24+len(q):])
	order.PutUint32(p[4:], crc32.Checksum(p[8:], table))
	r.mem.changed(atData+from, atData+from+size)
	r.set(atHead, at+int64(size)) // only now is it there
}

// clip shortens a text.
func clip(s string, most int) string { return s[:min(len(s), most)] }

// free forgets the oldest entries until there is space up to end. The caller holds mu.
func (r *Ring) free(end int64) {
	b := r.data()
	for tail := r.number(atTail); end-tail > int64(len(b)); tail = r.number(atTail) {
		e, size, ok := r.entry(tail)
		if !ok { // none is readable any more
			r.forgetAll()
			return
		}
		if e != nil {
			r.replaced(e.Lane, e.N)
		}
		r.set(atTail, tail+size)
	}
}

func (r *Ring) replaced(lane int, n int64) {
	if lane < MaxLanes {
		r.set(atReplaced+8*lane, max(n, r.number(atReplaced+8*lane)))
	}
}

// forgetAll forgets all entries, because they cannot be read. The caller holds mu.
func (r *Ring) forgetAll() {
	for lane := range MaxLanes {
		r.replaced(lane, r.number(atAcked+8*lane))
	}
	r.set(atTail, r.number(atHead))
}

// entry returns the entry at a position and its size; nil for the rest of the area.
func (r *Ring) entry(at int64) (e *Entry, size int64, ok bool) {
	b := r.data()
	p := b[int(at)%len(b):]
	n := order.Uint32(p)
	if n == ^uint32(0) {
		return nil, int64(len(p)), true
	}
	if n < 32 || int(n) > len(p) || n%8 != 0 || crc32.Checksum(p[8:n], table) != order.Uint32(p[4:]) {
		return nil, 0, false
	}
	p = p[:n]
	e = &Entry{Lane: int(order.Uint32(p[8:])), Call: int(order.Uint32(p[12:])), N: int64(order.Uint64(p[16:]))}
	q := p[24:]
	for _, text := range []*string{&e.Run, &e.Module, &e.Workflow, &e.Request} {
		if len(q) < 2 || len(q) < 2+int(order.Uint16(q)) {
			return nil, 0, false
		}
		*text = string(q[2 : 2+order.Uint16(q)])
		q = q[2+order.Uint16(q):]
	}
	return e, int64(n), true
}

// consistent reports whether the entries can be read.
func (r *Ring) consistent() bool {
	tail, head := r.number(atTail), r.number(atHead)
	if tail < 0 || head < tail || head-tail > int64(len(r.data())) || head%8 != 0 || tail%8 != 0 {
		return false
	}
	for at := tail; at < head; {
		_, size, ok := r.entry(at)
		if !ok {
			return false
		}
		at += size
	}
	return true
}

// After returns the calls, oldest first, that depend on writes after those in left, by lane. all says whether these are
// certainly all of them.
func (r *Ring) After(left []int64) (calls []Entry, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false
	}
	last := func(lane int) int64 {
		if lane < len(left) {
			return left[lane]
		}
		return 0
	}
	all = r.exact
	for lane := range MaxLanes {
		all = all && r.number(atReplaced+8*lane) <= last(lane)
	}
	for at := r.number(atTail); at < r.number(atHead); {
		e, size, ok := r.entry(at)
		if !ok {
			return calls, false
		}
		if e != nil && e.N > last(e.Lane) {
			calls = append(calls, *e)
		}
		at += size
	}
	return calls, all
}

// Close closes the file, which is then on stable storage. Nothing is noted afterwards.
func (r *Ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.mem.sync() // before it says so
	if err == nil && r.exact {
		r.set(atClean, 1)
		err = r.mem.sync()
	}
	if err = errors.Join(err, r.mem.close()); err != nil {
		return fmt.Errorf("closing the file with the newest calls: %w", err)
	}
	return nil
}

func (r *Ring) data() []byte { return r.mem.bytes()[atData:] }

func (r *Ring) number(at int) int64 { return int64(order.Uint64(r.mem.bytes()[at:])) }

func (r *Ring) set(at int, n int64) {
	order.PutUint64(r.mem.bytes()[at:], uint64(n))
	r.mem.changed(at, at+8)
}

func (r *Ring) text(at int) string {
	return string(bytes.TrimRight(r.mem.bytes()[at:at+textField], "\x00"))
}

func (r *Ring) setText(at int, s string) {
	field := r.mem.bytes()[at : at+textField]
	clear(field)
	copy(field, s)
	r.mem.changed(at, at+textField)
}
