package wire

// Head is the head of an answer. It has the members of all kinds of answers; docs/internals/formats.md lists which
// kind has which.
type Head struct {
	Run, Module, Workflow, Secrets string // start (call 0)
	Status                         int
	URL                            string
	Header                         [][2]string
	By, Note                       string // cancelled
	ID, From, Type                 string // receive
	Stream, End                    bool   // http, read
	Failure                        *Failure
}

// Failure is the member "error" of the head of an answer: why the call failed.
type Failure struct {
	Kind, Reason, Message string
	Key                   string // the Idempotency-Key the call was sent under
	Status                int    // of the response, 0 if there was none
	RepeatUntil           int    // Unix nanoseconds, 0 if the engine did not say
}

// text returns the field for a string member, or nil if the member is unknown.
func (h *Head) text(name string) *string {
	switch name {
	case "run":
		return &h.Run
	case "module":
		return &h.Module
	case "workflow":
		return &h.Workflow
	case "secrets":
		return &h.Secrets
	case "url":
		return &h.URL
	case "by":
		return &h.By
	case "note":
		return &h.Note
	case "id":
		return &h.ID
	case "from":
		return &h.From
	case "type":
		return &h.Type
	}
	return nil
}

// Parse reads the head of an answer into h. It ignores members it does not know. After an error the content of h is
// undefined.
func Parse(text string, h *Head) error {
	*h = Head{}
	if parsePlain(text, h) {
		return nil
	}
	*h = Head{}
	return parseHead(text, h)
}

// parsePlain is the fast path: it reads a head as the engine writes it, without escapes and with no nested value
// except header fields. It returns false for any other head, perhaps after it has read part of it; parseHead, which
// takes several times as long, reads those.
func parsePlain(text string, h *Head) bool {
	if len(text) < 8 || text[0] != '{' || text[len(text)-1] != '}' {
		return false
	}
	// The text is `{"name":value,…}`, and i is the offset of its brace or of a comma. Reading one byte past any byte
	// other than the closing brace is safe, because the closing brace is the last byte.
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
			for h.Status = 0; '0' <= text[i] && text[i] <= '9' && h.Status < 1000; i++ {
				h.Status = 10*h.Status + int(text[i]-'0')
			}
		case c == 't' && (name == "stream" || name == "end") && i+4 < len(text) && text[i:i+4] == "true":
			h.Stream, h.End = h.Stream || name == "stream", h.End || name == "end"
			i += 4
		case name == "headers" && c == '[':
			if h.Header, i = plainHeader(text, i); i == 0 {
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

// plainHeader reads `[["Name","value"],…]` at i and returns the offset of its end, or 0 if the text has another form.
func plainHeader(text string, i int) ([][2]string, int) {
	if text[i+1] == ']' {
		return [][2]string{}, i + 2
	}
	const usual = 32 // bytes per field
	h := make([][2]string, 0, min(1+(len(text)-i)/usual, 16))
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

// parseHead reads any head, see Parse.
func parseHead(text string, h *Head) error {
	r := reader{b: text}
	r.open('{')
	first := true
	for name, ok := r.member(&first); ok; name, ok = r.member(&first) {
		if r.peek() == 'n' { // null means the same as absent
			r.skip()
			continue
		}
		switch name {
		case "status":
			h.Status = r.int()
		case "headers":
			h.Header = readHeader(&r)
		case "stream", "end":
			is := r.peek() == 't'
			h.Stream, h.End = h.Stream || is && name == "stream", h.End || is && name == "end"
			r.skip()
		case "error":
			h.Failure = readError(&r)
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
func readHeader(r *reader) [][2]string {
	h := make([][2]string, 0, 12)
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

func readError(r *reader) *Failure {
	e := &Failure{}
	r.open('{')
	first := true
	for name, ok := r.member(&first); ok; name, ok = r.member(&first) {
		if r.peek() == 'n' {
			r.skip()
			continue
		}
		switch name {
		case "kind":
			e.Kind = r.string()
		case "reason":
			e.Reason = r.string()
		case "message":
			e.Message = r.string()
		case "status":
			e.Status = r.int()
		case "repeat_until":
			e.RepeatUntil = r.int()
		case "key":
			e.Key = r.string()
		default:
			r.skip()
		}
	}
	return e
}
