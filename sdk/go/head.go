package flawless

import "math/bits"

// answerHead is the head of an answer: the members of all kinds together, docs/formats.md lists them.
type answerHead struct {
	run, module, workflow, secrets string // call 0
	status                         int
	url                            string
	header                         Header
	by, note                       string // cancelled
	id, from, kind                 string // receive
	failure                        *answerError
}

// answerError is the member `error` of the head of an answer.
type answerError struct {
	kind, reason, message string
	status                int
}

// text returns where a member that is a string belongs, nil where it belongs nowhere.
func (h *answerHead) text(name string) *string {
	switch name {
	case "run":
		return &h.run
	case "module":
		return &h.module
	case "workflow":
		return &h.workflow
	case "secrets":
		return &h.secrets
	case "url":
		return &h.url
	case "by":
		return &h.by
	case "note":
		return &h.note
	case "id":
		return &h.id
	case "from":
		return &h.from
	case "type":
		return &h.kind
	}
	return nil
}

// parseAnswer reads the head of an answer.
func parseAnswer(text string) (answerHead, error) {
	if h, ok := parsePlain(text); ok {
		return h, nil
	}
	return parseHead(text)
}

// mostQuotes is how many quotation marks a head may have that parsePlain reads.
const mostQuotes = 128

// parsePlain reads a head as the engine writes it where nothing has to be escaped and nothing is nested
// but the header fields of a response. Whatever is different is for parseHead, which needs several times
// as long. It finds all quotation marks first, and looks at what is between them then.
func parsePlain(text string) (h answerHead, ok bool) {
	if len(text) < 8 || len(text) > 1<<16 || text[0] != '{' || text[len(text)-1] != '}' {
		return h, false
	}
	var at [mostQuotes + 8]uint16
	n := 0
	var escaped uint64
	for i := 0; i < len(text); i += 8 {
		from := min(i, len(text)-8)
		x := word(text, from)
		escaped |= equals(x, reverse)
		found := equals(x, quote) >> (8 * (i - from)) << (8 * (i - from)) // those before i are known
		for ; found != 0; found &= found - 1 {
			at[n] = uint16(from + bits.TrailingZeros64(found)/8)
			n++
		}
		if n > mostQuotes {
			return h, false
		}
	}
	if escaped != 0 {
		return h, false
	}
	// The text is `{"name":value,…}`, and i is the place of its brace or of a comma.
	quotes := at[:n]
	for i := 0; len(quotes) >= 2 && int(quotes[0]) == i+1; {
		name := text[i+2 : quotes[1]]
		i, quotes = int(quotes[1])+2, quotes[2:]
		if text[i-1] != ':' || i >= len(text) { // the last byte is a brace
			return h, false
		}
		switch c := text[i]; {
		case c == '"':
			member := h.text(name)
			if member == nil || len(quotes) < 2 {
				return h, false
			}
			*member = text[i+1 : quotes[1]]
			i, quotes = int(quotes[1])+1, quotes[2:]
		case name == "status" && '1' <= c && c <= '9':
			for h.status = 0; '0' <= text[i] && text[i] <= '9' && h.status < 1000; i++ {
				h.status = 10*h.status + int(text[i]-'0')
			}
		case name == "headers" && c == '[':
			if h.header, i = plainHeader(text, i, quotes); i == 0 {
				return h, false
			}
			quotes = quotes[4*len(h.header):]
		default:
			return h, false
		}
		if i == len(text)-1 {
			return h, len(quotes) == 0
		}
		if text[i] != ',' {
			return h, false
		}
	}
	return h, false
}

// plainHeader reads `[["Name","value"],…]` at i, and returns where it ends, 0 where it is something else.
func plainHeader(text string, i int, quotes []uint16) (Header, int) {
	if text[i+1] == ']' {
		return Header{}, i + 2
	}
	n := 0
	for ; len(quotes) >= 4*n+4 && text[i+1] == '['; n++ {
		q := quotes[4*n : 4*n+4]
		if int(q[0]) != i+2 || q[2] != q[1]+2 || text[q[1]+1] != ',' || text[q[3]+1] != ']' {
			return nil, 0
		}
		if i = int(q[3]) + 2; text[i] != ',' {
			n++
			break
		}
	}
	if n == 0 || text[i] != ']' {
		return nil, 0
	}
	h := make(Header, n)
	for k := range h {
		q := quotes[4*k : 4*k+4]
		h[k] = [2]string{text[q[0]+1 : q[1]], text[q[2]+1 : q[3]]}
	}
	return h, i + 1
}

// parseHead reads the head of an answer. Members it does not know are ignored.
func parseHead(text string) (answerHead, error) {
	var h answerHead
	r := reader{b: text}
	r.open('{')
	first := true
	for name, ok := r.member(&first); ok; name, ok = r.member(&first) {
		if r.peek() == 'n' { // null is as good as absent
			r.skip()
			continue
		}
		switch name {
		case "status":
			h.status = r.int()
		case "headers":
			h.header = readHeader(&r)
		case "error":
			h.failure = readError(&r)
		default:
			if member := h.text(name); member != nil {
				*member = r.string()
			} else {
				r.skip()
			}
		}
	}
	if err := r.end(); err != nil {
		return answerHead{}, err
	}
	return h, nil
}

// readHeader reads [["Name","value"],…].
func readHeader(r *reader) Header {
	h := make(Header, 0, 12)
	r.open('[')
	for first := true; r.more(&first, ']'); {
		name, value := readPair(r)
		h = append(h, [2]string{name, value})
	}
	return h
}

func readPair(r *reader) (name, value string) {
	r.open('[')
	first := true
	if r.more(&first, ']') {
		name = r.string()
	}
	if first || !r.more(&first, ']') {
		r.fail("a pair of strings")
		return "", ""
	}
	value = r.string()
	if r.more(&first, ']') {
		r.fail("a pair of strings")
	}
	return name, value
}

func readError(r *reader) *answerError {
	e := &answerError{}
	r.open('{')
	first := true
	for name, ok := r.member(&first); ok; name, ok = r.member(&first) {
		if r.peek() == 'n' {
			r.skip()
			continue
		}
		switch name {
		case "kind":
			e.kind = r.string()
		case "reason":
			e.reason = r.string()
		case "message":
			e.message = r.string()
		case "status":
			e.status = r.int()
		default:
			r.skip()
		}
	}
	return e
}
