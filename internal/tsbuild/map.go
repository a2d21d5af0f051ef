package tsbuild

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// place says which line of a source a position of the bundle was made of.
type place struct {
	line, column uint32 // of the bundle, from 1
	source, at   uint32 // index in the list of sources, and its line from 1
}

// readMap reads a source map (ECMA-426): the names of the sources, and places in the order of the bundle. Of several
// places in one line of the bundle that name the same line of a source, it keeps the first.
func readMap(text []byte) (names []string, places []place, err error) {
	var m struct {
		Sources  []string `json:"sources"`
		Mappings string   `json:"mappings"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, nil, fmt.Errorf("reading the source map: %w", err)
	}
	source, line := 0, 0
	for k, row := range strings.Split(m.Mappings, ";") {
		column := 0
		for segment := range strings.SplitSeq(row, ",") {
			f, err := decodeVLQ(segment)
			if err != nil {
				return nil, nil, fmt.Errorf("reading the source map: %w", err)
			}
			if len(f) > 0 {
				column += f[0]
			}
			if len(f) < 4 {
				continue
			}
			source, line = source+f[1], line+f[2]
			p := place{uint32(k + 1), uint32(column + 1), uint32(source), uint32(line + 1)}
			if n := len(places); n > 0 && places[n-1].line == p.line && places[n-1].source == p.source && places[n-1].at == p.at {
				continue
			}
			places = append(places, p)
		}
	}
	return m.Sources, places, nil
}

// decodeVLQ decodes the base64 VLQ numbers of a segment.
func decodeVLQ(s string) (out []int, err error) {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	value, shift := 0, 0
	for _, c := range s {
		d := strings.IndexRune(digits, c)
		if d < 0 {
			return nil, errors.New("a number is not base64")
		}
		value |= (d & 31) << shift
		if shift += 5; d&32 != 0 {
			continue
		}
		if value&1 != 0 {
			value = -value
		}
		out = append(out, value/2)
		value, shift = 0, 0
	}
	return out, nil
}
