package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
)

// How much of a log is one answer: records have bodies in them, so their number alone says little.
const (
	usualPage = 100     // records, where no limit is given
	maxPage   = 1 << 20 // bytes, but for a single record that has more
)

// logPage is a part of a log.
type logPage struct {
	Link string `header:"Link" doc:"with rel=next: where the next page is (RFC 8288); missing where there are no more records"`
	Body []json.RawMessage
}

func (a *api) logs() {
	op := operation("get-log", http.MethodGet, "/runs/{id}/log", "Records of a run's log")
	op.Description = fmt.Sprintf("A page ends after limit records, or before the one with which it would have more than %d bytes. The header Link says where the next one is; from is then the number after that of the last record.", maxPage)
	records := a.huma.OpenAPI().Components.Schemas.Schema(typeOf[[]flawless.Record](), true, "Records")
	op.Responses = map[string]*huma.Response{"200": {Description: "records, oldest first", Content: map[string]*huma.MediaType{"application/json": {Schema: records}}}}
	huma.Register(a.huma, op, func(ctx context.Context, in *struct {
		RunPath
		From  int64 `query:"from" minimum:"0" doc:"number of the first record"`
		Limit int   `query:"limit" minimum:"0" maximum:"1000" default:"100" doc:"at most so many records; 0 is 100"`
	}) (*logPage, error) {
		page := &logPage{Body: []json.RawMessage{}}
		if in.Limit == 0 {
			in.Limit = usualPage
		}
		size := 0
		for rec, err := range a.engine.Records(ctx, in.ID, uint64(in.From)) {
			if err != nil {
				return nil, problem(err)
			}
			b, err := text(shown(a.engine, rec))
			if err != nil {
				return nil, problem(err)
			}
			size += len(b)
			if n := len(page.Body); n == in.Limit || n > 0 && size > maxPage {
				page.Link = nextLink("/runs/"+url.PathEscape(in.ID)+"/log", rec.Seq, in.Limit)
				break
			}
			page.Body = append(page.Body, b)
		}
		return page, nil
	})
}

// nextLink is the header Link of a page that is not the last.
func nextLink(path string, from uint64, limit int) string {
	return fmt.Sprintf("</api/v1%s?from=%d&limit=%d>; rel=\"next\"", path, from, limit)
}
