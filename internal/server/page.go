package server

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// PageQuery asks for a page of a list that is sorted by name.
type PageQuery struct {
	From  string `query:"from" doc:"name at which the page begins, from the Link header of the previous page"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"maximum number of entries"`
}

// listed is a page of a list.
type listed[T any] struct {
	Link string `header:"Link" doc:"URL of the next page, with rel=next (RFC 8288); missing on the last page"`
	Body []T
}

// page returns the first page of what is left of a list, with a link to the next one.
func page[T any](path string, left []T, q PageQuery, name func(T) string) *listed[T] {
	p := &listed[T]{Body: append([]T{}, left[:min(len(left), q.Limit)]...)}
	if len(left) > q.Limit {
		next := url.Values{"from": {name(left[q.Limit])}, "limit": {strconv.Itoa(q.Limit)}}
		p.Link = fmt.Sprintf("</api/v1%s?%s>; rel=\"next\"", path, next.Encode())
	}
	return p
}

// NumberQuery asks for a page of a list that is sorted by number.
type NumberQuery struct {
	From  int `query:"from" minimum:"0" doc:"number at which the page begins, from the Link header of the previous page"`
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"maximum number of entries; a page ends before they exceed 1 MiB"`
}

// byNumber returns a page of a list that is sorted by number. It ends before the sizes of its entries, in bytes,
// exceed maxPage, unless the first one alone does.
func byNumber[T any](path string, all []T, q NumberQuery, number, size func(T) int) *listed[T] {
	first, _ := slices.BinarySearchFunc(all, q.From, func(x T, from int) int { return number(x) - from })
	p, bytes := &listed[T]{Body: []T{}}, 0
	for n, x := range all[first:] {
		if bytes += size(x); n == q.Limit || n > 0 && bytes > maxPage {
			p.Link = nextLink(path, uint64(number(x)), q.Limit)
			break
		}
		p.Body = append(p.Body, x)
	}
	return p
}

// byName returns a page of a list that is sorted by name.
func byName[T any](path string, all []T, q PageQuery, name func(T) string) *listed[T] {
	first, _ := slices.BinarySearchFunc(all, q.From, func(x T, from string) int { return strings.Compare(name(x), from) })
	return page(path, all[first:], q, name)
}
