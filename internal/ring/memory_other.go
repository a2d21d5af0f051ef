//go:build !unix

package ring

import "os"

// written is a file with a copy of its contents in memory. Each change is written at once, and survives the process.
type written struct {
	b []byte
	f *os.File
}

func mapFile(f *os.File, size int) (memory, error) {
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &written{b, f}, nil
}

func (w *written) bytes() []byte { return w.b }

func (w *written) changed(from, to int) { _, _ = w.f.WriteAt(w.b[from:to], int64(from)) }

func (w *written) sync() error  { return w.f.Sync() }
func (w *written) close() error { return w.f.Close() }

func inode(os.FileInfo) int64 { return 0 }
