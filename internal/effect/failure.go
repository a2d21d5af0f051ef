package effect

// Failure is one way in which a call fails, and what the engine does about it. A call that fails in a way
// that can pass is tried again, if another try cannot do harm: see Failure.Sent.
type Failure struct {
	Name   string // "dial", "invalid": the reason or the kind in the answer of the call
	Sent   bool   // something of the request may have reached the server
	Passes bool   // another try may end differently although nobody changes anything here
	Text   string // what happened, for the documentation
}

// Failures lists every way in which a call fails. It is the table of the guide, "What fails how, and what
// happens". A status is none of them: it is an answer.
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

// Failures returns every way in which a call fails, in the order of the guide.
func Failures() []Failure { return append([]Failure(nil), failures...) }

// passes tells whether a failure may be over with another try. One that is not in the table may be.
func passes(name string) bool {
	for _, f := range failures {
		if f.Name == name {
			return f.Passes
		}
	}
	return true
}
