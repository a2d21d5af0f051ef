package flawless

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
		case "run":
			h.run = r.string()
		case "module":
			h.module = r.string()
		case "workflow":
			h.workflow = r.string()
		case "secrets":
			h.secrets = r.string()
		case "status":
			h.status = r.int()
		case "url":
			h.url = r.string()
		case "headers":
			h.header = readHeader(&r)
		case "by":
			h.by = r.string()
		case "note":
			h.note = r.string()
		case "id":
			h.id = r.string()
		case "from":
			h.from = r.string()
		case "type":
			h.kind = r.string()
		case "error":
			h.failure = readError(&r)
		default:
			r.skip()
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
