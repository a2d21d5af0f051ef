package redact

import (
	"net/url"
	"regexp"
	"strings"
)

// maxPassword is how far a user and password reach that are not escaped, in bytes.
const maxPassword = 1000

// addresses are the headers whose whole value is a URL.
var addresses = []string{"Location", "Content-Location", "Referer"}

// scheme is what a URL may begin with.
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]{0,40}:`)

// address hides the user and password in a string that as a whole is a URL, given as it stands in JSON
// at a depth of JSON in JSON. What stands between the scheme and the last @ before the path is hidden,
// whatever it holds.
func (m *Mask) address(inside string, depth int) string {
	if strings.IndexByte(inside, '@') < 0 {
		return inside
	}
	start := slashes(inside)
	if start == 0 {
		prefix := scheme.FindString(inside)
		if start = len(prefix) + slashes(inside[len(prefix):]); start == len(prefix) && !isHTTP(prefix) {
			start = 0 // without slashes it is as likely a user as a scheme
		}
	}
	rest := inside[start:]
	at := strings.LastIndexByte(rest[:end(rest, "/?#")], '@')
	if at < 0 && odd(rest[:end(rest, "/?#")]) {
		at = strings.LastIndexByte(rest, '@')
	}
	if at <= 0 {
		return inside
	}
	return inside[:start] + m.hide(unescaped(decoded(rest[:at], depth))) + rest[at:]
}

// members hides the user and password in each JSON member "url", at any depth of JSON in JSON.
func (m *Mask) members(text string) string {
	var out strings.Builder
	rest := text
	for {
		at := strings.Index(rest, `url`)
		if at < 0 {
			break
		}
		at += len(`url`)
		out.WriteString(rest[:at])
		before := rest[:at-len(`url`)]
		rest = rest[at:]
		if !strings.HasSuffix(before, `"`) {
			continue
		}
		depth := len(rest) - len(strings.TrimLeft(rest, `\`))
		value, ok := strings.CutPrefix(rest[depth:], `"`)
		if !ok {
			continue
		}
		if value, ok = strings.CutPrefix(strings.TrimLeft(value, " "), ":"); !ok {
			continue
		}
		inside, same, length := quoted(value)
		if length == 0 || same != depth {
			continue
		}
		last := length - depth - 1
		out.WriteString(rest[:len(rest)-len(value)] + value[:last-len(inside)] + m.address(inside, depth) + value[last:length])
		rest = value[length:]
	}
	if rest == text {
		return text
	}
	out.WriteString(rest)
	return out.String()
}

// users hides users and passwords in URLs that are part of a text. Where it is not clear where one ends,
// it hides rather too much; the text stays JSON if it was.
func (m *Mask) users(text string) string {
	if !strings.Contains(text, "@") && !strings.Contains(text, "%40") && !strings.Contains(text, "%2540") {
		return badPort.ReplaceAllStringFunc(text, m.port)
	}
	text = m.marked(text)
	text = m.unmarked(text)
	return badPort.ReplaceAllStringFunc(text, m.port)
}

// badPort is what net/url says of a password that is not escaped. The last class keeps it from matching
// across two strings of JSON.
var badPort = regexp.MustCompile(`invalid port \\*":[^"]*[^"\s,{\[:\\]\\*" after host`)

func (m *Mask) port(found string) string {
	before, rest, _ := strings.Cut(found, `":`)
	value := strings.TrimRight(strings.TrimSuffix(rest, `" after host`), `\`)
	return before + `":` + m.hide(value) + rest[len(value):]
}

// introducer is what stands before a user and host: slashes, also as JSON may escape them, typed the
// wrong way around behind a colon, or percent-encoded once or more often.
var introducer = regexp.MustCompile(`/\\*/[/\\]*|:(?:\\\\)+|%(?:25)*2[fF]%(?:25)*2[fF](?:%(?:25)*2[fF])*`)

// marked hides what stands between two slashes and the @ of a host.
func (m *Mask) marked(text string) string {
	var out strings.Builder
	done := 0
	for _, found := range introducer.FindAllStringIndex(text, -1) {
		from := found[1]
		if from-found[0] > 1 && text[from-1] == '\\' { // half an escape stays whole
			from = found[0] + slashesBehind(text[found[0]:from])
		}
		if from < done || text[found[0]] == '/' && inPath(text[:found[0]]) {
			continue
		}
		if i := userinfo(text[from:], text[found[0]] == '%'); i > 0 {
			out.WriteString(text[done:from])
			out.WriteString(m.hide(unescaped(text[from : from+i])))
			done = from + i
		}
	}
	if done == 0 {
		return text
	}
	return out.String() + text[done:]
}

// inPath tells whether two slashes behind it are part of a path.
func inPath(before string) bool {
	if before == "" {
		return false
	}
	c := before[len(before)-1]
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' && !strings.HasSuffix(before, "3A") || c >= 'a' && c <= 'z' && !strings.HasSuffix(before, "3a") || strings.IndexByte("._-", c) >= 0
}

// userinfo returns where the user and password end that text begins with, 0 where there are none.
func userinfo(text string, encoded bool) int {
	text = text[:min(len(text), maxPassword)]
	authority := text[:end(text, " \t\r\n\"<>`\\/?#")]
	if encoded {
		authority = authority[:end(authority, "&")]
		for _, stop := range []string{"%2F", "%2f", "%252F", "%252f"} {
			authority, _, _ = strings.Cut(authority, stop)
		}
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		return i
	}
	for _, at := range []string{"%40", "%2540"} {
		if i := strings.LastIndex(authority, at); i >= 0 {
			return i
		}
	}
	if encoded || !odd(authority) {
		return 0
	}
	// No port is written like this: it is a password with characters that should have been escaped.
	// It ends at the @ of the first word that has one, or with the string or line it stands in.
	found := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '@':
			found = i
		case c == '\r' || c == '\n', c == '"' && closes(text[i+1:]):
			return found
		case (c == ' ' || c == '\t') && (found > 0 || strings.HasSuffix(text[:i], ":")):
			return found
		}
	}
	return found
}

// closes tells whether a quote before rest can end a string of JSON.
func closes(rest string) bool {
	rest = strings.TrimLeft(rest, " \t\r\n")
	return rest == "" || strings.IndexByte(",:}]", rest[0]) >= 0
}

// odd tells whether what stands behind the colon of an authority is no port, but perhaps the beginning
// of a password.
func odd(authority string) bool {
	if strings.HasPrefix(authority, "[") { // an address of IPv6
		return false
	}
	_, port, ok := strings.Cut(authority, ":")
	return ok && (port == "" || strings.Trim(strings.TrimRight(port, "',.;:!)]}|"), "0123456789") != "")
}

// target is what stands behind an @ in a URL without slashes: a host with a port, a path or, as some
// databases have it, a bracket. Mail addresses, ids and times do not go on like this.
var target = regexp.MustCompile(`^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/?#()\\]+)(?::[0-9]+(?:$|[^0-9A-Za-z:])|[/?(])`)

// unmarked hides a user and password that no slashes stand before, such as ann:pw@host:80.
func (m *Mask) unmarked(text string) string {
	const stops = " \t\r\n\"<>`"
	var out strings.Builder
	done := 0
	for from := 0; from < len(text); {
		word := text[from:]
		word = word[:end(word, stops)]
		if start, i := pair(word); i > start {
			out.WriteString(text[done : from+start])
			out.WriteString(m.hide(unescaped(word[start:i])))
			done = from + i
		}
		from += len(word) + 1
	}
	if done == 0 {
		return text
	}
	return out.String() + text[done:]
}

// pair returns where in a word a user and password begin and end that no slashes stand before.
func pair(word string) (start, at int) {
	at = strings.LastIndexByte(word, '@')
	if at < 0 {
		return 0, 0
	}
	all := word
	if found := introducer.FindStringIndex(word); found != nil && found[0] < at {
		word = word[:found[0]]
		if at = strings.LastIndexByte(word, '@'); at < 0 {
			return 0, 0
		}
	}
	colon := strings.IndexByte(word[:at], ':')
	if colon <= 0 {
		return 0, 0
	}
	start = strings.LastIndexAny(word[:colon], "=(,;&{[|?!") + 1
	switch {
	case isHTTP(word[start : colon+1]):
		start = colon + 1
		start += slashes(word[start:])
		return start, at
	case strings.HasSuffix(strings.ToLower(word[:colon]), "mailto"), !target.MatchString(all[at+1:]):
		return 0, 0
	}
	for start > 0 && word[start-1] == '\\' { // it may escape what comes next
		start--
	}
	return start, at
}

// isHTTP tells whether text is the scheme of HTTP with its colon.
func isHTTP(text string) bool {
	return strings.EqualFold(text, "http:") || strings.EqualFold(text, "https:")
}

// slashes is how many bytes at the beginning of text are slashes. A backslash that may escape what
// comes behind them is none.
func slashes(text string) int {
	return slashesBehind(text[:len(text)-len(strings.TrimLeft(text, `/\`))])
}

// slashesBehind is slashes of text that holds nothing else.
func slashesBehind(run string) int {
	back := len(run) - len(strings.TrimRight(run, `\`))
	return len(run) - back%2
}

// end is where the first of stops stands in text, or its length.
func end(text, stops string) int {
	if i := strings.IndexAny(text, stops); i >= 0 {
		return i
	}
	return len(text)
}

func unescaped(s string) string {
	if out, err := url.PathUnescape(s); err == nil {
		return out
	}
	return s
}
