package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// floors measures F and H again, and P if a database is open. They are measured between the figures, because the speed of the machine drifts.
func (b *bench) floors(ctx context.Context) error {
	const n, page, room = 100, 4096, 8 << 20
	f, err := os.Create(filepath.Join(b.dir, "floor"))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, room)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	block := bytes.Repeat([]byte{1}, page)
	for k := range n {
		t := time.Now()
		if _, err := f.WriteAt(block, int64(k*page)); err != nil {
			return err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		b.f = append(b.f, micros(time.Since(t)))
	}
	hc := &http.Client{}
	defer hc.CloseIdleConnections()
	for range n {
		t := time.Now()
		resp, err := hc.Post(b.url, "application/json", strings.NewReader(`{"amount":1999,"currency":"EUR"}`))
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		b.h = append(b.h, micros(time.Since(t)))
	}
	if b.database != nil {
		each, err := b.database.floor(ctx, n)
		if err != nil {
			return err
		}
		b.p = append(b.p, each...)
	}
	return ctx.Err()
}
