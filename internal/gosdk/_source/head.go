package flawless

// answerHead is the head of an answer: the members of all kinds together, docs/internals/formats.md lists them.
type answerHead struct {
	run, module, workflow, secrets string // call 0
	status                         int
	url                            string
	header                         Header
	by, note                       string // cancelled
	id, from, kind                 string // receive
	stream, end                    bool   // http, read
	failure                        *answerError
}

// answerError is the member `error` of the head of an answer.
type answerError struct {
	kind, reason, message string
	key                   string
	status                int
	repeatUntil           int // Unix nanoseconds; 0 where the engine did not say
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

// parseAnswer reads the head of an answer into h.
func parseAnswer(text string, h *answerHead) error {
	*h = answerHead{}
	if parsePlain(text, h) {
		return nil
	}
	*h = answerHead{}
	return parseHead(text, h)
}

// parsePlain reads a head as the engine writes it where nothing has to be escaped and nothing is nested
// but the header fields of a response. Whatever is different is for parseHead, which needs several times
// as long. Where it returns false it may have read some of it.
func parsePlain(text string, h *answerHead) bool {
	if len(text) < 8 || text[0] != '{' || text[len(text)-1] != '}' {
		return false
	}
	// The text is `{"name":value,…}`, and i is the place of its brace or of a comma. What is looked at
	// behind a byte that is no brace is there, for the last one is.
	for i := 0; text[i+1] == '"'; {
		end := quoteAt(text, i+2)
		if end < 0 || text[end+1] != ':' {
			return false
		}
		name := text[i+2 : end]
		i = end + 2
		switch c := text[i]; {
		case c == '"':
			member := h.text(name)
			if end = quoteAt(text, i+1); member == nil || end < 0 {
				return false
			}
			*member, i = text[i+1:end], end+1
		case name == "status" && '1' <= c && c <= '9':
			for h.status = 0; '0' <= text[i] && text[i] <= '9' && h.status < 1000; i++ {
				h.status = 10*h.status + int(text[i]-'0')
			}
		case c == 't' && (name == "stream" || name == "end") && i+4 < len(text) && text[i:i+4] == "true":
			h.stream, h.end = h.stream || name == "stream", h.end || name == "end"
			i += 4
		case name == "headers" && c == '[':
			if h.header, i = plainHeader(text, i); i == 0 {
				return false
			}
		default:
			return false
		}
		if i == len(text)-1 {
			return true
		}
		if text[i] != ',' {
			return false
		}
	}
	return false
}

// plainHeader reads `[["Name","value"],…]` at i, and returns where it ends, 0 where it is something else.
func plainHeader(text string, i int) (Header, int) {
	if text[i+1] == ']' {
		return Header{}, i + 2
	}
	const usual = 32 // bytes of a field
	h := make(Header, 0, min(1+(len(text)-i)/usual, 16))
	for text[i+1] == '[' && text[i+2] == '"' {
		name := i + 3
		middle := quoteAt(text, name)
		if middle < 0 || text[middle+1] != ',' || text[middle+2] != '"' {
			break
		}
		end := quoteAt(text, middle+3)
		if end < 0 || text[end+1] != ']' {
			break
		}
		h = append(h, [2]string{text[name:middle], text[middle+3 : end]})
		if i = end + 2; text[i] == ']' {
			return h, i + 1
		}
		if text[i] != ',' {
			break
		}
	}
	return nil, 0
}

// parseHead reads the head of an answer. Members it does not know are ignored, and of a head that is
// broken nothing is to be used.
func parseHead(text string, h *answerHead) error {
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
		case "stream", "end":
			is := r.peek() == 't'
			h.stream, h.end = h.stream || is && name == "stream", h.end || is && name == "end"
			r.skip()
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
	return r.end()
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
		case "repeat_until":
			e.repeatUntil = r.int()
		case "key":
			e.key = r.string()
		default:
			r.skip()
		}
	}
	return e
}
