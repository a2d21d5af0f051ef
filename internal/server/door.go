package server

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
)

// door refuses every request that a web page of somebody else made a browser send, whatever its path,
// method and protocol, before anything of it is read. There are two kinds:
//
//   - cross-origin: the page asks this server. The browser says so with Sec-Fetch-Site or Origin. Reads
//     are refused as well: their answers would be hidden from the page, but not whether they succeed.
//   - DNS rebinding: the name of the page's own server now has this server's address, so the browser
//     sees one origin. Only the Host header tells.
//
// Programs send neither of these headers and name the server as its operator does, so they are let in.
type door struct {
	names  []string // the server's own, in the form of hostname
	local  bool     // it listens on the loopback interface alone
	origin *http.CrossOriginProtection
	next   http.Handler
}

// loopbackNames stand for the loopback interface in the hosts files of Unix systems.
var loopbackNames = []string{"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}

// newDoor guards next. names are those that the operator gave the server, as hosts or URLs.
func newDoor(names []string, local bool, next http.Handler) (*door, error) {
	d := &door{names: slices.Clone(loopbackNames), local: local, origin: http.NewCrossOriginProtection(), next: next}
	for _, text := range names {
		host := text
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			host = u.Host
		}
		name := hostname(host)
		if name == "" {
			return nil, fmt.Errorf("%.200q is not a host name such as flawless.example.com: %w", text, flawless.Invalid)
		}
		d.names = append(d.names, name)
	}
	return d, nil
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	if !d.answersTo(r.Host) {
		deny(w, r, http.StatusMisdirectedRequest, fmt.Sprintf("this server does not accept requests for the host %.200q; "+
			"use its address, or start it with that name as --allow-host or in --public-url", r.Host))
		return
	}
	asked := *r
	asked.Method = http.MethodPost // the check lets reads pass
	if d.origin.Check(&asked) != nil {
		deny(w, r, http.StatusForbidden, "this request comes from a web page of another origin; "+
			"send it from a program, or through the server of that page")
		return
	}
	d.next.ServeHTTP(w, r)
}

// answersTo tells whether a Host header names this server.
func (d *door) answersTo(host string) bool {
	name := hostname(host)
	if ip, err := netip.ParseAddr(name); err == nil {
		// An address cannot be rebound: no name was looked up for it. On the loopback interface no other
		// address can be meant; elsewhere it may be one that is mapped to this machine.
		return ip.Unmap().IsLoopback() || !d.local || slices.Contains(d.names, name)
	}
	return name != "" && (slices.Contains(d.names, name) || strings.HasSuffix(name, ".localhost")) // RFC 6761, section 6.3
}

// hostname is the name or address in a Host header, in lower case and without port, brackets and the
// dot at the end; "" where the header is not one.
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

// own are the names that a server has by where it listens.
func own(socket string, local bool) []string {
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
