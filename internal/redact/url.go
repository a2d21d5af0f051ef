package redact

import (
	"net/url"
	"regexp"
	"strings"
)

// maxPassword is the maximum length of an unescaped user and password in bytes.
const maxPassword = 1000

// addresses are the headers whose whole value is a URL.
var addresses = []string{"Location", "Content-Location", "Referer"}

// scheme matches the beginning of a URL.
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]{0,40}:`)

// address masks the user and password in a string that is a URL as a whole, at a level of nested JSON. It masks
// everything between the scheme and the last @ before the path.
func (m *Mask) address(inside string, depth int) string {
	if strings.IndexByte(inside, '@') < 0 {
		return inside
	}
	start := slashes(inside)
	if start == 0 {
		prefix := scheme.FindString(inside)
		if start = len(prefix) + slashes(inside[len(prefix):]); start == len(prefix) && !isHTTP(prefix) {
			start = 0 // without slashes, this may be a user rather than a scheme
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

// members masks the user and password in each JSON member "url", at any level of nested JSON.
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

// users masks users and passwords in URLs inside a text. If their end is unclear, it masks too much rather than too
// little. JSON stays valid.
func (m *Mask) users(text string) string {
	if !strings.Contains(text, "@") && !strings.Contains(text, "%40") && !strings.Contains(text, "%2540") {
		return m.ports(text)
	}
	return m.ports(m.unmarked(m.marked(text)))
}

// ports masks what a net/url error reports as a port: an unescaped password. The error is: parse "URL": invalid port
// ":PASSWORD" after host, at any level of nested JSON.
func (m *Mask) ports(text string) string {
	const says = "invalid port "
	var out strings.Builder
	done := 0
	for from := 0; ; {
		at := strings.Index(text[from:], says)
		if at < 0 {
			break
		}
		at += from
		from = at + len(says)
		rest := text[from:min(len(text), from+maxPort)]
		inside, depth, length := quoted(rest)
		if length == 0 || !strings.HasPrefix(inside, ":") || !strings.HasPrefix(text[from+length:], " after host") {
			continue
		}
		last := from + length - depth - 1
		first := last - len(inside) + 1
		out.WriteString(m.parsed(text[done:at], depth) + text[at:first] + m.hide(decoded(inside[1:], depth)))
		done, from = last, last
	}
	if done == 0 {
		return text
	}
	return out.String() + text[done:]
}

// maxPort is the maximum length of a quoted port to mask: a password with escaped characters.
const maxPort = 8 * maxPassword

// parsed masks the port in the URL before the words "invalid port", from the first colon of the authority on. net/url
// takes what follows the last colon for the port.
func (m *Mask) parsed(before string, depth int) string {
	const says = "parse "
	from := strings.LastIndex(before, says) + len(says)
	if from < len(says) {
		return before
	}
	inside, same, length := quoted(before[from:])
	if length == 0 || same != depth || before[from+length:] != ": " {
		return before
	}
	begin, next := introducer(inside, 0)
	if begin < 0 {
		return before
	}
	last := next + end(inside[next:], "/?#")
	next += strings.LastIndexByte(inside[next:last], '@') + 1
	if strings.HasPrefix(inside[next:last], "[") { // an address of IPv6
		next += strings.LastIndexByte(inside[next:last], ']') + 1
	}
	_, port, _ := strings.Cut(inside[next:last], ":")
	last += from + length - depth - 1 - len(inside)
	return before[:last-len(port)] + m.hide(decoded(port, depth)) + before[last:]
}

// introducer returns the start and end of the next introducer at or after a position, or -1. An introducer precedes a
// user and host: slashes, possibly JSON-escaped; backslashes after a colon; or slashes that are percent-encoded once
// or more. As a pattern:
//
//	/\\*/[/\\]*  |  :(?:\\\\)+  |  %(?:25)*2[fF]%(?:25)*2[fF](?:%(?:25)*2[fF])*
func introducer(text string, from int) (begin, end int) {
	for i := from; i < len(text); i++ {
		switch text[i] { // hand-written, because building a set takes longer than the search
		default:
			continue
		case '/':
			back := backslashes(text[i+1:])
			if rest := text[i+1+back:]; strings.HasPrefix(rest, "/") {
				return i, len(text) - len(strings.TrimLeft(rest, `/\`))
			}
			i += back
		case ':', '%':
			if n := introduced(text[i:]); n > 0 {
				return i, i + n
			}
		}
	}
	return -1, -1
}

// introduced returns the length of an introducer without slashes at the beginning of text.
func introduced(text string) int {
	if text[0] == ':' {
		if n := backslashes(text[1:]) / 2 * 2; n > 0 {
			return 1 + n
		}
		return 0
	}
	n, slashes := 0, 0
	for {
		size := encodedSlash(text[n:])
		if size == 0 {
			break
		}
		n += size
		slashes++
	}
	if slashes < 2 {
		return 0
	}
	return n
}

// encodedSlash returns the length of the percent-encoded slash at the beginning of text, or 0.
func encodedSlash(text string) int {
	if !strings.HasPrefix(text, "%") {
		return 0
	}
	n := 1
	for strings.HasPrefix(text[n:], "25") {
		n += 2
	}
	if rest := text[n:]; strings.HasPrefix(rest, "2F") || strings.HasPrefix(rest, "2f") {
		return n + 2
	}
	return 0
}

// backslashes returns the number of backslashes at the beginning of text.
func backslashes(text string) int { return len(text) - len(strings.TrimLeft(text, `\`)) }

// ahead finds the next occurrence of something in a text, for increasing positions. It reads the text once.
type ahead struct {
	text, what string
	at         int // position of the last match, -1 before the first
}

// within reports whether the next match is less than n bytes after a position.
func (a *ahead) within(from, n int) bool {
	if a.at < from {
		next := strings.Index(a.text[from:], a.what)
		if a.at = from + next; next < 0 {
			a.at = len(a.text)
		}
	}
	return a.at < len(a.text) && a.at-from < n
}

// marked masks what is between two slashes and the @ before a host.
func (m *Mask) marked(text string) string {
	var out strings.Builder
	done := 0
	marks := []*ahead{{text, "@", -1}, {text, "%40", -1}, {text, "%2540", -1}}
	for begin, from := introducer(text, 0); begin >= 0; {
		first, next := begin, from
		begin, from = introducer(text, next)
		if next-first > 1 && text[next-1] == '\\' { // do not split an escape
			next = first + slashesBehind(text[first:next])
		}
		if next < done || text[first] == '/' && inPath(text[:first]) {
			continue
		}
		if !marks[0].within(next, maxPassword) && !marks[1].within(next, maxPassword) && !marks[2].within(next, maxPassword) {
			continue // most URLs have no user
		}
		if i := userinfo(text[next:], text[first] == '%'); i > 0 {
			out.WriteString(text[done:next])
			out.WriteString(m.hide(unescaped(text[next : next+i])))
			done = next + i
		}
	}
	if done == 0 {
		return text
	}
	return out.String() + text[done:]
}

// inPath reports whether two slashes after before are part of a path.
func inPath(before string) bool {
	if before == "" {
		return false
	}
	c := before[len(before)-1]
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' && !strings.HasSuffix(before, "3A") || c >= 'a' && c <= 'z' && !strings.HasSuffix(before, "3a") || strings.IndexByte("._-", c) >= 0
}

// userinfo returns the end of the user and password at the beginning of text, or 0.
func userinfo(text string, encoded bool) int {
	text = text[:min(len(text), maxPassword)]
	authority := text
	if encoded {
		for _, stop := range []string{"%2F", "%2f", "%252F", "%252f", "&"} {
			authority, _, _ = strings.Cut(authority, stop)
		}
	}
	authority = authority[:end(authority, " \t\r\n\"<>`\\/?#")]
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
	// This cannot be a port: it is a password with unescaped characters. It ends at the @ of the first word that has
	// one, or with the string or line.
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

// closes reports whether a quote before rest can end a JSON string.
func closes(rest string) bool {
	rest = strings.TrimLeft(rest, " \t\r\n")
	return rest == "" || strings.IndexByte(",:}]", rest[0]) >= 0
}

// odd reports whether the text after the colon of an authority is not a port, but may be the beginning of a password.
func odd(authority string) bool {
	if strings.HasPrefix(authority, "[") { // an address of IPv6
		return false
	}
	_, port, ok := strings.Cut(authority, ":")
	return ok && (port == "" || strings.Trim(strings.TrimRight(port, "',.;:!)]}|"), "0123456789") != "")
}

// target matches what follows an @ in a URL without slashes: a host with a port, a path or, for some databases, a
// bracket. Mail addresses, ids and times do not continue like this.
var target = regexp.MustCompile(`^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/?#()\\]+)(?::[0-9]+(?:$|[^0-9A-Za-z:])|[/?(])`)

// unmarked masks a user and password without preceding slashes, such as ann:pw@host:80.
func (m *Mask) unmarked(text string) string {
	const stops = " \t\r\n\"<>`"
	var out strings.Builder
	done := 0
	for from := 0; ; {
		at := strings.IndexByte(text[from:], '@')
		if at < 0 {
			break
		}
		at += from
		from += strings.LastIndexAny(text[from:at], stops) + 1
		word := text[from : at+end(text[at:], stops)]
		if start, i := pair(word); i > start {
			out.WriteString(text[done : from+start])
			out.WriteString(m.hide(unescaped(word[start:i])))
			done = from + i
		}
		from += len(word)
	}
	if done == 0 {
		return text
	}
	return out.String() + text[done:]
}

// pair returns the position of a user and password without preceding slashes in a word.
func pair(word string) (start, at int) {
	at = strings.LastIndexByte(word, '@')
	if at < 0 {
		return 0, 0
	}
	all := word
	if first, _ := introducer(word, 0); first >= 0 && first < at {
		word = word[:first]
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
	case colon >= len("mailto") && strings.EqualFold(word[colon-len("mailto"):colon], "mailto"), !target.MatchString(all[at+1:]):
		return 0, 0
	}
	for start > 0 && word[start-1] == '\\' { // it may escape the next character
		start--
	}
	return start, at
}

// isHTTP reports whether text is an HTTP scheme with its colon.
func isHTTP(text string) bool {
	return strings.EqualFold(text, "http:") || strings.EqualFold(text, "https:")
}

// slashes returns the number of leading bytes of text that are slashes. A backslash that may escape the character
// after them does not count.
func slashes(text string) int {
	return slashesBehind(text[:len(text)-len(strings.TrimLeft(text, `/\`))])
}

// slashesBehind is slashes for text that consists only of slashes.
func slashesBehind(run string) int {
	back := len(run) - len(strings.TrimRight(run, `\`))
	return len(run) - back%2
}

// end returns the position of the first of stops in text, or its length.
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
