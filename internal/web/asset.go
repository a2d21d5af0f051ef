package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// asset is a file that browsers keep: its URL changes with its content.
type asset struct {
	kind, tag     string
	plain, zipped []byte
}

func loadAssets() map[string]*asset {
	kinds := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".svg": "image/svg+xml"}
	all := map[string]*asset{}
	entries, _ := staticFiles.ReadDir("static") // embedded, so it exists
	for _, e := range entries {
		b, _ := staticFiles.ReadFile("static/" + e.Name())
		sum := sha256.Sum256(b)
		var z bytes.Buffer
		w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
		_, _ = w.Write(b)
		_ = w.Close()
		all[e.Name()] = &asset{kinds[path.Ext(e.Name())], hex.EncodeToString(sum[:8]), b, z.Bytes()}
	}
	return all
}

func (c *console) static(w http.ResponseWriter, r *http.Request) {
	a := c.assets[r.PathValue("name")]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.tag {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	tag, body := `"`+a.tag+`"`, a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		tag, body = `"`+a.tag+`-gz"`, a.zipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(body)
}
