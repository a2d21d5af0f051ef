package flawless

// answerHead is the head of an answer: the members of all kinds together, docs/formats.md lists them.
type answerHead struct {
	run, module, workflow string // call 0
	status                int
	url                   string
	header                Header
	by, note              string // cancelled
	failure               *answerError
}

// answerError is the member `error` of the head of an answer.
type answerError struct {
	kind, reason, message string
	status                int
}

// parseHead reads the head of an answer. Members it does not know are ignored.
func parseHead(b []byte) (answerHead, error) {
	var h answerHead
	r := reader{b: b}
	r.object(func(name string) {
		if r.peek() == 'n' { // null is as good as absent
			r.skip()
			return
		}
		switch name {
		case "run":
			h.run = r.string()
		case "module":
			h.module = r.string()
		case "workflow":
			h.workflow = r.string()
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
		case "error":
			h.failure = readError(&r)
		default:
			r.skip()
		}
	})
	if err := r.end(); err != nil {
		return answerHead{}, err
	}
	return h, nil
}

// readHeader reads [["Name","value"],…].
func readHeader(r *reader) Header {
	h := Header{}
	r.array(func() {
		var pair [2]string
		n := 0
		r.array(func() {
			if n >= len(pair) {
				r.fail("a pair of strings")
				return
			}
			pair[n] = r.string()
			n++
		})
		if n != len(pair) {
			r.fail("a pair of strings")
			return
		}
		h.Add(pair[0], pair[1])
	})
	return h
}

func readError(r *reader) *answerError {
	e := &answerError{}
	r.object(func(name string) {
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
	})
	return e
}
