package effect

// Failure is one way in which a call can fail. The engine retries a call after a transient failure if another attempt
// cannot do harm.
type Failure struct {
	Name   string // the reason or the kind in the answer of the call, such as "dial" or "invalid"
	Sent   bool   // a part of the request may have reached the server
	Passes bool   // it is transient: another attempt may succeed although nobody changes anything here
	Text   string // what happened, for the documentation
}

// failures lists every way in which a call can fail. A status is not one of them: it is an answer. The table in
// docs/guide/idempotency.md is the same.
var failures = []Failure{
	{"name", false, true, "the name of the host cannot be looked up"},
	{"dial", false, true, "the connection is refused, or breaks before the first byte of the request"},
	{"tls", false, true, "the TLS handshake fails, for instance because a certificate has expired"},
	{"timeout", false, true, "the time-out ends before the first byte of the request is sent"},
	{"policy", false, false, "the host is refused by policy, or a secret is unknown or not meant for this host"},
	{"headers", false, false, "the headers are larger than the server accepts"},
	{"invalid", false, false, "the request is malformed: no URL, a forbidden header, a member out of range"},
	{"too_large", true, false, "the response is longer than the limit of the call: the request was answered, so do not make it again"},
	{"unknown", true, true, "something was sent, and no complete response came"},
}

// FailureModes returns every way in which a call can fail, in the order of the guide.
func FailureModes() []Failure { return append([]Failure(nil), failures...) }

// passes reports whether a failure is transient. Failures that are not in the table are.
func passes(name string) bool {
	for _, f := range failures {
		if f.Name == name {
			return f.Passes
		}
	}
	return true
}
