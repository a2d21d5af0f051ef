package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"

	"github.com/flawless-engine/flawless/internal/web/session"
)

// cookieName is the cookie of a login.
const cookieName = "flawless_session"

// login exchanges the one-time code of a link, or the token of the form, for a cookie.
func (c *console) login(w http.ResponseWriter, r *http.Request) {
	v := &visit{console: c, w: w, r: r, base: basePath(r)}
	to := target(r.FormValue("to"))
	code := r.FormValue("code")
	switch {
	case c.keys == nil && code == "" && r.FormValue("to") == "":
		v.show(http.StatusOK, "login.html", &view{Title: "No login", Bare: true, Data: map[string]any{"Open": true}})
		return
	case c.keys == nil: // an old link, or a page from before a restart
		http.Redirect(w, r, v.base+to, http.StatusSeeOther)
		return
	case r.Method == http.MethodGet && code != "" && r.Header.Get("Sec-Fetch-Site") == "cross-site":
		// Somebody has put the link into a chat or a ticket. A link from elsewhere changes nothing, so a person has to press.
		v.show(http.StatusOK, "login.html", &view{Title: "Log in", Bare: true, Data: map[string]any{"Code": code, "To": to}})
		return
	case r.Method == http.MethodHead: // which must change nothing: it is a program that looks whether the link works
		v.showLogin(http.StatusOK, "")
		return
	case r.Method == http.MethodPost && code == "":
		want, got := sha256.Sum256([]byte(c.Token)), sha256.Sum256([]byte(strings.TrimSpace(r.PostFormValue("token"))))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			v.showLogin(http.StatusUnauthorized, "That is not the token of this server.")
			return
		}
	case code == "":
		v.showLogin(http.StatusOK, "")
		return
	case !c.keys.Use(code, c.now()):
		v.showLogin(http.StatusUnauthorized, "The link was used before or is too old. Get another with: flawless open")
		return
	}
	http.SetCookie(w, c.cookie(r, c.keys.Cookie(c.now()), int(session.CookieFor.Seconds())))
	http.Redirect(w, r, v.base+to, http.StatusSeeOther) // replaces the URL with the code in the history
}

// logout deletes the cookie.
func (c *console) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, c.cookie(r, "", -1))
	http.Redirect(w, r, basePath(r)+"/login", http.StatusSeeOther)
}

func (c *console) cookie(r *http.Request, value string, age int) *http.Cookie {
	secure := r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
	return &http.Cookie{Name: cookieName, Value: value, Path: basePath(r) + "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure}
}

// target returns the path to go to after a login: only one of this server.
func target(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") || strings.HasPrefix(to, "/login") {
		return "/"
	}
	return to
}

func (v *visit) showLogin(status int, problem string) {
	to := target(v.r.FormValue("to"))
	if v.r.URL.Path != "/login" && v.r.Method == http.MethodGet {
		to = target(v.r.URL.RequestURI())
	} else if from, err := url.Parse(v.r.Referer()); err == nil && v.r.URL.Path != "/login" && from.Host == v.r.Host {
		to = target(strings.TrimPrefix(from.RequestURI(), v.base)) // the page with the form that was sent too late
	}
	v.show(status, "login.html", &view{Title: "Log in", Bare: true, Data: map[string]any{"Problem": problem, "To": to}})
}
