package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/errno"
	"github.com/flawless-engine/flawless/internal/reply"
	"github.com/flawless-engine/flawless/internal/source"
)

// maxViewed is the maximum size of a bundle that is only looked at, in bytes: all of its log is in the answer.
const maxViewed = 32 << 20

// BundleView is what a bundle contains, for those who look at it without importing it.
type BundleView struct {
	Run      flawless.Run          `json:"run"`
	Redacted []string              `json:"redacted,omitempty" doc:"what was removed when it was exported"`
	Log      []flawless.Record     `json:"log"`
	Files    []flawless.SourceFile `json:"files" doc:"source files in its module, with their texts"`
}

// spool is a temporary file that is removed when it is closed.
type spool struct{ *os.File }

func (s *spool) close() {
	_ = s.Close()
	_ = os.Remove(s.Name())
}

// spooled writes a bundle to a temporary file that only the user of the server can read. A bundle begins with its
// length and checksum, so it must be complete before its first byte is sent. It also means that an error becomes a
// problem instead of a truncated answer.
func spooled(x bundle.Export) (_ *spool, size int64, err error) {
	f, err := os.CreateTemp("", "flawless-*.bundle")
	if err != nil {
		return nil, 0, fmt.Errorf("exporting run %s: %w: make sure that the directory for temporary files ($TMPDIR) is writable", x.Manifest.Run.ID, err)
	}
	file := &spool{f}
	if size, err = x.Write(f); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.close()
		if errno.Full(err) {
			err = fmt.Errorf("%w: free some space in %s: %w", err, os.TempDir(), flawless.Full)
		}
		return nil, 0, err
	}
	return file, size, nil
}

func (a *api) bundles() {
	export := operation("export-run", http.MethodGet, "/runs/{id}/bundle", "Export a run")
	export.Responses = map[string]*huma.Response{"200": {Description: "a bundle, docs/internals/formats.md",
		Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}
	huma.Register(a.huma, export, func(ctx context.Context, in *struct {
		RunPath
		Redact  []string `query:"redact,explode" doc:"values to redact: paths into bodies such as $.card.number, header:NAME, query:NAME"`
		LogOnly bool     `query:"log_only" doc:"omit the module and the image"`
	}) (*huma.StreamResponse, error) {
		x, err := a.engine.Export(ctx, in.ID, engine.Export{Redact: in.Redact, LogOnly: in.LogOnly})
		if err != nil {
			return nil, reply.From(err)
		}
		file, size, err := spooled(x)
		if err != nil {
			return nil, reply.From(err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer file.close()
			c.SetHeader("Content-Type", "application/octet-stream")
			c.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", in.ID+".bundle"))
			c.SetHeader("Content-Length", strconv.FormatInt(size, 10))
			c.SetStatus(http.StatusOK)
			_, _ = io.Copy(c.BodyWriter(), file) // an error means that the client has disconnected
		}}, nil
	})
	add := operation("import-run", http.MethodPost, "/bundles", "Import an exported run, to inspect or fork it; it never continues by itself")
	add.MaxBodyBytes, add.DefaultStatus = bundle.Max+1, http.StatusCreated
	huma.Register(a.huma, withPayload(add, "application/octet-stream", true, nil), func(ctx context.Context, in *struct {
		ID string `query:"id" doc:"id of the imported run; default: its original id"`
		Payload
	}) (*body[flawless.Run], error) {
		b, err := bundle.Read(bytes.NewReader(in.Bytes))
		if err != nil {
			return nil, reply.From(uploaded(err))
		}
		r, err := a.engine.Import(ctx, b, in.ID)
		return &body[flawless.Run]{r}, reply.From(err)
	})
	a.viewed()
}

// viewed adds the operation that looks at a bundle. It stores nothing and runs nothing.
func (a *api) viewed() {
	op := operation("view-bundle", http.MethodPost, "/bundles/view", "Look at an exported run without importing it")
	op.MaxBodyBytes = maxViewed + 1
	huma.Register(a.huma, withPayload(op, "application/octet-stream", true, nil), func(ctx context.Context, in *struct{ Payload }) (*body[BundleView], error) {
		leave, err := a.budget.Enter(ctx)
		if err != nil {
			return nil, reply.From(err)
		}
		defer leave()
		if len(in.Bytes) > maxViewed {
			return nil, reply.From(fmt.Errorf("the bundle is larger than %d MiB; export the log only (--log-only), or import it: %w", maxViewed>>20, flawless.TooLarge))
		}
		b, err := bundle.Read(bytes.NewReader(in.Bytes))
		if err != nil {
			return nil, reply.From(uploaded(err))
		}
		return &body[BundleView]{BundleView{Run: b.Manifest.Run, Redacted: b.Manifest.Redacted, Log: b.Log, Files: source.Read(b.Module)}}, nil
	})
}

// uploaded converts an error of reading an upload: damage in it is invalid input, not damage of the store.
func uploaded(err error) error {
	if !errors.Is(err, flawless.Damaged) {
		return err
	}
	return fmt.Errorf("%s: %w", strings.TrimSuffix(err.Error(), ": "+flawless.Damaged.Error()), flawless.Invalid)
}
