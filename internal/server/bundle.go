package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/engine"
)

type exported struct {
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (a *api) bundles() {
	export := operation("export-run", http.MethodGet, "/runs/{id}/bundle", "A run as one file")
	export.Responses = map[string]*huma.Response{"200": {Description: "a bundle, docs/formats.md",
		Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}
	huma.Register(a.huma, export, func(ctx context.Context, in *struct {
		RunPath
		Redact  []string `query:"redact,explode" doc:"what to take out: paths into bodies such as $.card.number, header:NAME, query:NAME"`
		LogOnly bool     `query:"log_only" doc:"without module and image"`
	}) (*exported, error) {
		b, err := a.engine.Export(ctx, in.ID, engine.Export{Redact: in.Redact, LogOnly: in.LogOnly})
		if err != nil {
			return nil, problem(err)
		}
		var out bytes.Buffer
		err = bundle.Write(&out, b)
		if err == nil && out.Len() > bundle.Max {
			err = fmt.Errorf("exporting run %s: the bundle has %d bytes, and at most %d can be imported; leave the module out with --log-only: %w", in.ID, out.Len(), bundle.Max, flawless.TooLarge)
		}
		if err != nil {
			return nil, problem(err)
		}
		return &exported{"application/octet-stream", fmt.Sprintf("attachment; filename=%q", in.ID+".bundle"), out.Bytes()}, nil
	})
	add := operation("import-run", http.MethodPost, "/bundles", "Keep the run of a bundle, to look at and to fork; it never goes on by itself")
	add.MaxBodyBytes, add.DefaultStatus = bundle.Max+1, http.StatusCreated
	huma.Register(a.huma, withPayload(add, "application/octet-stream", true, nil), func(ctx context.Context, in *struct {
		ID string `query:"id" doc:"id of the run here; its own where it is missing"`
		Payload
	}) (*body[flawless.Run], error) {
		b, err := bundle.Read(bytes.NewReader(in.Bytes))
		if err != nil {
			return nil, problem(uploaded(err))
		}
		r, err := a.engine.Import(ctx, b, in.ID)
		return &body[flawless.Run]{r}, problem(err)
	})
}

// uploaded is the error of reading what a client sent: damage of that is its own, not the store's.
func uploaded(err error) error {
	if !errors.Is(err, flawless.Damaged) {
		return err
	}
	return fmt.Errorf("%s: %w", strings.TrimSuffix(err.Error(), ": "+flawless.Damaged.Error()), flawless.Invalid)
}
