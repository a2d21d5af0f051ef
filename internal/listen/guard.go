package listen

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// guard refuses every request that a web page of another origin made a browser send, for every path, method and
// protocol, before it reads the body. There are two kinds:
//
//   - cross-origin requests: the page sends a request to this server. The browser says so in Sec-Fetch-Site or
//     Origin. Reads are refused, too: the page would not see the answer, but whether there is one.
//   - DNS rebinding: the page comes from a server whose name now resolves to the address of this server, so for
//     the browser it is the same origin. Only the Host header shows it.
//
// Programs send neither header, and use a name that the operator knows, so the guard lets them pass.
//
// One kind of request from elsewhere is let in: the browser follows a link to a page for people, such as one in a chat or a
// ticket. It shows the page in a window of its own, so the other site learns nothing, and pages change nothing.
type guard struct {
	names  []string // of the server, as hostname returns them
	local  bool     // the server listens on the loopback interface only
	origin *http.CrossOriginProtection
	next   http.Handler
	pages  linkable // nil if there are no pages
}

// linkable is implemented by a handler that has pages for people.
type linkable interface {
	// Linkable reports whether a request is for a page, which only shows something.
	Linkable(r *http.Request) bool
}

// loopbackNames are the names of the loopback interface in the hosts files of Unix systems.
var loopbackNames = []string{"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}

// Guard returns a handler that passes on to next only requests that no web page of another origin has caused.
// names are additional names of the server, as hosts or URLs; local says that it listens on the loopback
// interface only.
func Guard(names []string, local bool, next http.Handler) (http.Handler, error) {
	g, err := newGuard(names, local, next)
	if err != nil {
		return nil, err
	}
	g.pages, _ = next.(linkable)
	return g, nil
}

// newGuard is [Guard] for a Listener, which sets next later.
func newGuard(names []string, local bool, next http.Handler) (*guard, error) {
	g := &guard{names: slices.Clone(loopbackNames), local: local, origin: http.NewCrossOriginProtection(), next: next}
	for _, text := range names {
		host := text
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			host = u.Host
		}
		name := hostname(host)
		if name == "" {
			return nil, fmt.Errorf("%.200q is not a host name such as flawless.example.com: %w", text, flawless.Invalid)
		}
		g.names = append(g.names, name)
	}
	return g, nil
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	if !g.answersTo(r.Host) {
		reply.Deny(w, r, http.StatusMisdirectedRequest, fmt.Sprintf("this server does not accept requests for the host %.200q; "+
			"use its address, or start it with that name as --allow-host or in --public-url", r.Host))
		return
	}
	asked := *r
	asked.Method = http.MethodPost // otherwise the check lets reads pass
	if g.origin.Check(&asked) != nil && !g.isLink(r) {
		reply.Deny(w, r, http.StatusForbidden, "this request comes from a web page of another origin; "+
			"send it from a program, or through the server of that page")
		return
	}
	g.next.ServeHTTP(w, r)
}

// isLink reports whether a browser shows the answer as a page of its own because somebody has followed a link. Frames and
// forms that send something are none, and neither are older browsers, which do not say what a request is for.
func (g *guard) isLink(r *http.Request) bool {
	h := r.Header
	return g.pages != nil && r.Method == http.MethodGet && h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document" &&
		len(h.Values("Origin")) == 0 && g.pages.Linkable(r)
}

// answersTo reports whether a Host header names this server.
func (g *guard) answersTo(host string) bool {
	name := hostname(host)
	if ip, err := netip.ParseAddr(name); err == nil {
		// An address cannot be rebound, because no name is looked up. On the loopback interface, only its own
		// addresses are possible; otherwise it may be one that is mapped to this machine.
		return ip.Unmap().IsLoopback() || !g.local || slices.Contains(g.names, name)
	}
	return name != "" && (slices.Contains(g.names, name) || strings.HasSuffix(name, ".localhost")) // RFC 6761, section 6.3
}

// hostname returns the name or address in a Host header, in lower case and without port, brackets and trailing
// dot. It returns "" for an invalid header.
func hostname(host string) string {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
			return ""
		}
		name = h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		name = host[1 : len(host)-1]
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.Is6() != strings.HasPrefix(host, "[") {
			return ""
		}
		return ip.String()
	}
	odd := func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}
	if strings.HasPrefix(host, "[") || strings.ContainsFunc(name, odd) {
		return ""
	}
	return name
}

// ownNames returns the names that a server has because of the address it listens on.
func ownNames(socket string, local bool) []string {
	host, _, _ := net.SplitHostPort(socket)
	var names []string
	if _, err := netip.ParseAddr(host); err != nil && hostname(host) != "" {
		names = append(names, host)
	}
	if machine, err := os.Hostname(); err == nil && !local && hostname(machine) != "" {
		names = append(names, machine)
	}
	return names
}
