package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/brief"
	"github.com/flawless-engine/flawless/internal/reply"
)

// Limits of a page of a log. Records contain bodies, so a limit of their number is not enough.
const (
	usualPage = 100     // records, if no limit is given
	maxPage   = 1 << 20 // bytes, unless a single record has more
)

// logPage is a page of a log.
type logPage struct {
	Link string `header:"Link" doc:"URL of the next page, with rel=next (RFC 8288); missing on the last page"`
	Type string `header:"Content-Type"`
	Body func(huma.Context)
}

func (a *api) logs() {
	op := operation("get-log", http.MethodGet, "/runs/{id}/log", "List the log records of a run")
	op.Description = fmt.Sprintf("A page ends after limit records, or before it would exceed %d bytes. The Link header has the URL of the next page, whose from is one more than the number of the last record.", maxPage)
	records := a.huma.OpenAPI().Components.Schemas.Schema(typeOf[[]flawless.Record](), true, "Records")
	op.Responses = map[string]*huma.Response{"200": {Description: "records, oldest first", Content: map[string]*huma.MediaType{"application/json": {Schema: records}}}}
	huma.Register(a.huma, op, func(ctx context.Context, in *struct {
		RunPath
		From  int64 `query:"from" minimum:"0" doc:"number of the first record"`
		Limit int   `query:"limit" minimum:"0" maximum:"1000" default:"100" doc:"maximum number of records; 0 is 100"`
		Brief bool  `query:"brief" doc:"leave out bodies above 1 KiB and other long parts; a record without some of its parts has short set. For those who draw all of a run: the record itself has everything"`
	}) (*logPage, error) {
		if in.Limit == 0 {
			in.Limit = usualPage
		}
		made, next, err := a.makePage(ctx, in.ID, uint64(in.From), in.Limit, in.Brief)
		if err != nil {
			return nil, reply.From(err)
		}
		written, err := a.budget.Keep(len(made))
		if err != nil {
			return nil, reply.From(err)
		}
		page := &logPage{Type: "application/json", Body: func(c huma.Context) {
			defer written()
			_, _ = c.BodyWriter().Write(made) // unchanged: encoding it again would take several times the memory
		}}
		if next > 0 {
			page.Link = nextLink("/runs/"+url.PathEscape(in.ID)+"/log", next, in.Limit)
			if in.Brief {
				page.Link = strings.Replace(page.Link, "?", "?brief=true&", 1)
			}
		}
		return page, nil
	})
}

// makePage returns a page of a log as JSON, and the number of the first record of the next page, or 0 if it is the
// last one.
func (a *api) makePage(ctx context.Context, id string, from uint64, limit int, short bool) (page []byte, next uint64, err error) {
	leave, err := a.budget.Enter(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	log, err := a.engine.LogPage(ctx, id, from, limit, maxPage)
	if err != nil {
		return nil, 0, err
	}
	page = []byte("[")
	for i, rec := range log.Records {
		if short {
			rec = brief.Of(rec)
		}
		b, err := reply.JSON(shown(a.engine, rec))
		if err != nil {
			return nil, 0, err
		}
		b = bytes.TrimSuffix(b, []byte("\n"))
		if i > 0 && len(page)+len(b) > maxPage { // a record may be longer as JSON than in the store
			log.Next, log.More = rec.Seq, true
			break
		}
		if i > 0 {
			page = append(page, ',')
		}
		page = append(page, b...)
	}
	if log.More {
		next = log.Next
	}
	return append(page, "]\n"...), next, nil
}

// nextLink returns the Link header of a page that is not the last.
func nextLink(path string, from uint64, limit int) string {
	return fmt.Sprintf("</api/v1%s?from=%d&limit=%d>; rel=\"next\"", path, from, limit)
}
