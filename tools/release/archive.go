package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// file is an entry of an archive. A name that ends in
// is a folder.
type file struct {
	name  string
	data  []byte
	mode  int64 // 0 is 0644
	owner int   // user and group
}

// archives packs each binary with its files.
func (r *release) archives() error {
	for _, t := range targets {
		program, err := os.ReadFile(r.binary(t))
		if err != nil {
			return err
		}
		files := []file{{name: t.program(), data: program, mode: 0o755}}
		files = append(files, r.files...)
		folder := "flawless_" + r.version + "_" + t.String() + "/"
		for i := range files {
			files[i].name = folder + files[i].name
		}
		ending, pack := ".tar.gz", tarball
		if t.system == "windows" {
			ending, pack = ".zip", zipped
		}
		b, err := pack(files, r.time)
		if err == nil {
			err = os.WriteFile(r.name(t.String()+ending), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tarball returns a compressed archive that depends only on its arguments.
func tarball(files []file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	err := writeTar(z, files, at)
	if err == nil {
		err = z.Close()
	}
	return b.Bytes(), err
}

func writeTar(w io.Writer, files []file, at time.Time) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: at, Uid: f.owner, Gid: f.owner, Format: tar.FormatPAX, Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(f.data); err != nil {
			return err
		}
	}
	return t.Close()
}

func zipped(files []file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: at})
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

// checksums writes SHA256SUMS, in the format of sha256sum --check.
func (r *release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range entries {
		sum, err := sumOf(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(b.String()), 0o644)
}

func sumOf(name string) (string, error) {
	b, err := os.ReadFile(name)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}
