package pebble

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// wal is the write-ahead log: batches in the order in which Pebble got them, which has them in memory
// only until it writes a table. Pebble's own log stays empty.
//
// It is written by those who wait for it, and by nobody else. Who comes first writes and syncs all that
// is there; who comes meanwhile waits, and one of those is the next. So a batch that is alone takes
// a write and a sync, and no goroutine is woken.
//
// It lies in slots: see there. docs/formats.md describes the bytes.
type wal struct {
	slots slots
	ended func(error) // told of the first error; nothing is written after it

	mu     sync.Mutex
	fresh  []byte // records that nobody writes yet
	spare  []byte // memory for the next ones
	newest uint64 // number of the newest record
	seq    uint64 // Pebble's number of the newest key in it
	synced uint64 // all records up to this number are on stable storage
	tables uint64 // all records up to this number are in tables
	marks  []mark // which keys records behind that have, oldest first
	shared bool   // the last sync served more than one
	busy   bool   // somebody writes
	queue  []waiter
	err    error // why nothing more will be synced

	file *walFile // of whoever writes
}

// waiter is somebody who waits for a record to be synced.
type waiter struct {
	n      uint64
	writes bool // it may write itself
	look   chan struct{}
}

// mark says that all records up to n have keys up to Pebble's number seq.
type mark struct{ n, seq uint64 }

// markEvery is how many bytes of the log there are between two marks, about: so much is read in vain after a crash.
const markEvery = 64 << 10

// A record is 24 bytes and a batch as Pebble writes it, filled up with zeros.
const (
	recordHead = 24
	recordUnit = 8       // what the length of a record is a multiple of
	mostSpare  = 1 << 20 // bytes of memory that are kept for records
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// append takes in batch n, whose newest key has Pebble's number seq. Batches come one after another.
func (w *wal) append(n, seq uint64, batch []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	at := len(w.fresh)
	w.fresh = binary.LittleEndian.AppendUint32(w.fresh, 0) // the checksum
	w.fresh = binary.LittleEndian.AppendUint32(w.fresh, uint32(len(batch)))
	w.fresh = binary.LittleEndian.AppendUint64(w.fresh, n)
	w.fresh = binary.LittleEndian.AppendUint32(w.fresh, uint32(min(n-w.synced, math.MaxUint32)))
	w.fresh = binary.LittleEndian.AppendUint32(w.fresh, uint32(min(n-w.tables, math.MaxUint32)))
	w.fresh = append(w.fresh, batch...)
	binary.LittleEndian.PutUint32(w.fresh[at:], crc32.Checksum(w.fresh[at+4:], castagnoli))
	for len(w.fresh)%recordUnit != 0 {
		w.fresh = append(w.fresh, 0)
	}
	w.newest, w.seq = n, seq
}

// flushed says that all keys up to Pebble's number seq are in tables.
func (w *wal) flushed(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := 0
	for k < len(w.marks) && w.marks[k].seq <= seq {
		w.tables = w.marks[k].n
		k++
	}
	w.marks = slices.Delete(w.marks, 0, k)
	w.slots.flushed(w.tables)
}

// sync returns when record n is on stable storage, or can never be.
func (w *wal) sync(n uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.synced < n && w.err == nil {
		if w.busy {
			_ = w.await(context.Background(), n, true)
			continue
		}
		w.busy = true
		if w.shared || len(w.queue) > 0 { // others are about to come: they share this sync
			w.mu.Unlock()
			runtime.Gosched()
			w.mu.Lock()
		}
		p, newest, seq := w.fresh, w.newest, w.seq
		w.fresh, w.spare = w.spare[:0], nil
		w.mu.Unlock()
		err := w.write(p, mark{newest, seq})
		if err != nil {
			w.ended(err)
		}
		w.mu.Lock()
		if cap(p) <= mostSpare {
			w.spare = p
		}
		w.busy = false
		if err == nil {
			w.shared = newest-w.synced > 1
			w.synced = newest
		}
		w.wake()
	}
	return w.outcome(n)
}

// write writes records and syncs them. They go to one slot.
func (w *wal) write(p []byte, end mark) error {
	if w.file.full(len(p)) {
		if err := w.begin(w.synced + 1); err != nil {
			return err
		}
	}
	before := w.file.end()
	if err := w.file.write(p); err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	if err := w.file.sync(); err != nil {
		return fmt.Errorf("syncing the log: %w", err)
	}
	if w.file.end()/markEvery != before/markEvery {
		w.mu.Lock()
		w.marks = append(w.marks, end)
		w.mu.Unlock()
	}
	w.slots.holds(end.n)
	return nil
}

// begin goes on in another slot, with record first.
func (w *wal) begin(first uint64) error {
	if w.file != nil {
		if err := w.file.close(); err != nil {
			return fmt.Errorf("closing the log: %w", err)
		}
	}
	f, err := w.slots.take(first)
	if err != nil {
		return fmt.Errorf("making a file for the log: %w", err)
	}
	w.file = f
	return nil
}

// wait returns when all batches up to n are synced, or can never be.
func (w *wal) wait(ctx context.Context, n uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.synced < n && w.err == nil {
		if err := w.await(ctx, n, false); err != nil {
			return err
		}
	}
	return w.outcome(n)
}

// outcome returns nil where record n is on stable storage, else why it never will be. The caller holds mu.
func (w *wal) outcome(n uint64) error {
	if w.synced >= n {
		return nil
	}
	return w.err
}

// await gives mu back until there may be something new about n.
func (w *wal) await(ctx context.Context, n uint64, writes bool) error {
	look := make(chan struct{}, 1)
	w.queue = append(w.queue, waiter{n, writes, look})
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case <-look:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wake has those look whose records are synced or lost, and the first of the others who can write.
func (w *wal) wake() {
	next := false
	w.queue = slices.DeleteFunc(w.queue, func(q waiter) bool {
		goes := q.n <= w.synced || w.err != nil
		if !goes && q.writes && !next {
			next, goes = true, true
		}
		if goes {
			q.look <- struct{}{}
		}
		return goes
	})
}

// fail says that no more batches will be synced.
func (w *wal) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		w.wake()
	}
}

// close waits for who writes, and closes what is open. Nothing is written after it.
func (w *wal) close() error {
	w.fail(fmt.Errorf("the database is closed: %w", flawless.Stopping))
	w.mu.Lock()
	for w.busy {
		_ = w.await(context.Background(), math.MaxUint64, false)
	}
	w.mu.Unlock()
	w.slots.close()
	if w.file == nil {
		return nil
	}
	return w.file.close()
}

// leap is by how much the numbers of records go on when a log is opened: none is used twice, also none of those
// that were written and never synced. They may lie behind the end of a slot, and must be no records there.
const leap = 1 << 32

// restart goes on in another slot after replay. Nothing of the others is needed.
func (w *wal) restart() error {
	w.slots.empty()
	w.newest += leap
	w.synced, w.tables = w.newest, w.newest
	return w.begin(w.newest + 1)
}

// replay hands over all batches in the log that may be in no table, in their order, and makes sure that they are
// still there afterwards, whatever happens. A batch is valid until apply returns.
func (w *wal) replay(apply func(batch []byte) error) error {
	needed, err := w.slots.needed()
	if err != nil {
		return err
	}
	for _, s := range needed {
		// What the last process has written and not synced is there now, and must not be gone later: batches
		// of before would come on top of it then.
		if err := syncFile(w.slots.fs, s.name); err != nil {
			return err
		}
	}
	for k, s := range needed { // the last record knows best what is in tables
		last := k == len(needed)-1
		if err := w.readSlot(s, last, nil); err != nil {
			return fmt.Errorf("log file %s: %w", s.name, err)
		}
		if !last && w.newest+1 != needed[k+1].first {
			return fmt.Errorf("log file %s ends with record %d, the next one begins with %d: %w", s.name, w.newest, needed[k+1].first, errTorn)
		}
	}
	for _, s := range needed {
		if err := w.readSlot(s, false, apply); err != nil {
			return fmt.Errorf("log file %s: %w", s.name, err)
		}
	}
	return nil
}

var errTorn = fmt.Errorf("the log is damaged: restore the directory from a backup: %w", flawless.Damaged)

func syncFile(fs vfs.FS, name string) error {
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.SyncData(), f.Close())
}

// readSlot reads the records of a slot up to its end, and hands over those that may be in no table. Without
// apply it learns which these are, and looks behind the last one if the slot is the newest.
func (w *wal) readSlot(s *slot, newest bool, apply func([]byte) error) error {
	f, err := w.slots.fs.Open(s.name)
	if err != nil {
		return err
	}
	defer f.Close()
	w.newest = s.first - 1
	at, size := int64(block), s.size
	in := bufio.NewReaderSize(io.NewSectionReader(f, at, size-at), gathered)
	var record []byte
	for {
		var head [recordHead]byte
		if _, err := io.ReadFull(in, head[:]); err != nil && !isEnd(err) {
			return err
		}
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		if binary.LittleEndian.Uint64(head[8:]) != w.newest+1 || length > size-at-recordHead {
			break
		}
		record = append(append(record[:0], head[:]...), make([]byte, padded(length))...)
		if _, err := io.ReadFull(in, record[recordHead:]); err != nil && !isEnd(err) {
			return err
		}
		if !intact(record, length) {
			break
		}
		w.newest++
		at += int64(len(record))
		switch ago := binary.LittleEndian.Uint32(head[20:]); {
		case apply == nil && ago < math.MaxUint32:
			w.tables = max(w.tables, w.newest-uint64(ago))
		case apply != nil && w.newest > w.tables:
			if err := apply(record[recordHead : recordHead+length]); err != nil {
				return err
			}
		}
	}
	if apply == nil && newest {
		return w.nothingBehind(f, at, size)
	}
	return nil
}

// isEnd tells whether a file ends before what was to be read.
func isEnd(err error) bool { return err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) }

func padded(n int64) int64 { return (n + recordUnit - 1) / recordUnit * recordUnit }

// intact tells whether a record with so many bytes of a batch is as it was written.
func intact(record []byte, length int64) bool {
	return crc32.Checksum(record[4:recordHead+length], castagnoli) == binary.LittleEndian.Uint32(record)
}

// nothingBehind looks at what is behind the last record. There may be records that were never synced, but none
// that says that one which is not there was.
func (w *wal) nothingBehind(f vfs.File, at, size int64) error {
	missing := w.newest + 1
	buf := make([]byte, gathered)
	for ; at+recordHead <= size; at += int64(len(buf) - recordHead) {
		buf = buf[:min(gathered, size-at)]
		if _, err := f.ReadAt(buf, at); err != nil && !isEnd(err) {
			return err
		}
		for k := 0; k+recordHead <= len(buf); k += recordUnit {
			length := int64(binary.LittleEndian.Uint32(buf[k+4:]))
			n, ago := binary.LittleEndian.Uint64(buf[k+8:]), uint64(binary.LittleEndian.Uint32(buf[k+16:]))
			if n <= missing || n-missing > uint64(size)/recordHead || ago > n-missing || length > size-at-int64(k)-recordHead {
				continue
			}
			record := make([]byte, recordHead+length)
			if _, err := f.ReadAt(record, at+int64(k)); err != nil && !isEnd(err) {
				return err
			}
			if intact(record, length) {
				return fmt.Errorf("record %d was synced and cannot be read, record %d behind it can: %w", missing, n, errTorn)
			}
		}
		if len(buf) < gathered {
			break
		}
	}
	return nil
}
