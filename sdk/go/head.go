package flawless

import "strings"

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

// parsePlain reads a head as the engine writes it where nothing has to be escaped and nothing is nested
// but the header fields of a response. Whatever is different is for parseHead, which needs twice as long.
// It is one function, as it is the calls of functions that cost a guest time.
func parsePlain(text string) (h answerHead, ok bool) {
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' || strings.IndexByte(text, '\\') >= 0 {
		return h, false
	}
	for i := 0; text[i] == '{' || text[i] == ','; {
		from := i + 2
		if i++; text[i] != '"' {
			return h, false
		}
		for i++; i < len(text) && text[i] != '"'; i++ {
		}
		if i+2 >= len(text) || text[i+1] != ':' {
			return h, false
		}
		name := text[from:i]
		i += 2
		switch c := text[i]; {
		case c == '"':
			from = i + 1
			for i++; i < len(text) && text[i] != '"'; i++ {
			}
			if i+1 >= len(text) {
				return h, false
			}
			value := text[from:i]
			i++
			member := h.text(name)
			if member == nil {
				return h, false
			}
			*member = value
		case name == "status" && '1' <= c && c <= '9':
			for h.status = 0; '0' <= text[i] && text[i] <= '9' && h.status < 1000; i++ {
				h.status = 10*h.status + int(text[i]-'0')
			}
		case name == "headers" && c == '[':
			h.header = make(Header, 0, 8)
			for text[i] != ']' {
				// text[i:] is `,["Name","value"]`, the first with `[` in the place of the comma.
				var ends [4]int // of the quotation marks
				n, from := 0, i+2
				if text[i+1] != '[' {
					break
				}
				for i = from; n < 4 && i < len(text); i++ {
					if text[i] == '"' {
						ends[n] = i
						n++
					}
				}
				if n < 4 || ends[0] != from || text[ends[1]+1:ends[2]] != "," || i+1 >= len(text) || text[i] != ']' {
					return h, false
				}
				h.header = append(h.header, [2]string{text[ends[0]+1 : ends[1]], text[ends[2]+1 : ends[3]]})
				if i++; text[i] != ',' && text[i] != ']' {
					return h, false
				}
			}
			if len(h.header) == 0 && text[i] == '[' {
				i++
			}
			if text[i] != ']' {
				return h, false
			}
			i++
		default:
			return h, false
		}
		if i >= len(text) {
			return h, false
		}
		if text[i] == '}' {
			return h, i == len(text)-1
		}
	}
	return h, false
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
