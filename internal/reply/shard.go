package reply

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// ShardHeader is the header of an answer with status 421 that says that another server owns what the request is for. Its
// value is the shard, or empty.
const ShardHeader = "Flawless-Shard"

// shardOf returns the value of the header for an error, or nil if it has none.
func shardOf(err error) *string {
	if !errors.Is(err, flawless.Elsewhere) {
		return nil
	}
	value := ""
	if e := new(store.ElsewhereError); errors.As(err, &e) {
		value = strconv.Itoa(int(e.Shard))
	}
	return &value
}

// GetHeaders returns the headers that belong to the problem.
func (p *Problem) GetHeaders() http.Header {
	if p.shard == nil {
		return nil
	}
	return http.Header{ShardHeader: {*p.shard}}
}

// SetHeaders sets the headers that belong to the problem in an answer.
func (p *Problem) SetHeaders(set func(name, value string)) {
	for name, values := range p.GetHeaders() {
		set(name, values[0])
	}
}
