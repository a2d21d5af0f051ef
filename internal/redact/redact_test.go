package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

func mustMask(t testing.TB, key string, more ...string) *Mask {
	t.Helper()
	m, err := NewMask([]byte(key), more...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMaskHidesCredentials uses # for a hash.
func TestMaskHidesCredentials(t *testing.T) {
	t.Parallel()
	m := mustMask(t, "key", "header:X-Api-Key", "query:token")
	hash := regexp.MustCompile(`redacted:[0-9a-f]{12}`)
	placeholder := flawless.Placeholder("PAY_KEY", strings.Repeat("0a", 16))
	for _, row := range []struct{ name, in, want string }{
		{"a user and a password", `GET http://ann:pw@host/a: refused`, `GET http://#@host/a: refused`},
		{"a user alone", `https://token@host/a`, `https://#@host/a`},
		{"an @ in a password", `http://ann:p@w@host/`, `http://#@host/`},
		{"a slash in a password", `parse "http://ann:p/w@host/": invalid port`, `parse "http://#@host/": invalid port`},
		{"a question mark in a password", `http://ann:p?w@host/`, `http://#@host/`},
		{"a quoted ampersand in a password", `{"url":"http://ann:p\u0026w@host/"}`, `{"url":"http://#@host/"}`},
		{"several", `http://a:b@h http://c:d@i`, `http://#@h http://#@i`},
		{"another scheme", `postgres://ann:pw@db/x`, `postgres://#@db/x`},
		{"an @ in a path", `https://host/@scope/pkg https://host:80/@x https://[::1]:80/@y`, `https://host/@scope/pkg https://host:80/@x https://[::1]:80/@y`},
		{"an apostrophe in a password", `http://ann:p'w@host/ 'http://host'`, `http://#@host/ 'http://host'`},
		{"digits and an apostrophe", `http://ann:22'w@host/`, `http://#@host/`},
		{"a blank in a password", `parse "http://ann:p w@host/": invalid`, `parse "http://#@host/": invalid`},
		{"a quote in a password", `parse "http://ann:p\"w@host/": invalid`, `parse "http://#@host/": invalid`},
		{"angle brackets and a backtick", "http://ann:p<w@h http://ann:p>w@h http://ann:p`w@h", `http://#@h http://#@h http://#@h`},
		{"part of a password as a port", `parse "http://ann:p/w@h": invalid port ":pw" after host`, `parse "http://#@h": invalid port ":#" after host`},
		{"no URL but its port", `{"e":"invalid port \":pw\" after host"}`, `{"e":"invalid port \":#\" after host"}`},
		{"a password up to a fragment", `parse "http://ann:pw": invalid port ":pw" after host`, `parse "http://ann:#": invalid port ":#" after host`},
		{"a colon in a password", `parse "http://ann:p:w/x?y": invalid port ":w" after host`, `parse "http://ann:#/x?y": invalid port ":#" after host`},
		{"a quote in a bad port", `parse "http://ann:p\"w": invalid port ":p\"w" after host`, `parse "http://ann:#": invalid port ":#" after host`},
		{"a bad port in JSON", `{"e":"parse \"http://ann:pw\": invalid port \":pw\" after host, ask bob@h"}`, `{"e":"parse \"http://ann:#\": invalid port \":#\" after host, ask bob@h"}`},
		{"a bad port twice", `parse "http://a:b": invalid port ":b" after host parse "http://[::1]:b": invalid port ":b" after host`, `parse "http://a:#": invalid port ":#" after host parse "http://[::1]:#": invalid port ":#" after host`},
		{"a bad port behind a user", `parse "http://a:b@h:x": invalid port ":x" after host`, `parse "http://#@h:#": invalid port ":#" after host`},
		{"no scheme", `//ann:pw@h/ "//ann:pw@h"`, `//#@h/ "//#@h"`},
		{"no slashes", `http:ann:pw@h https:ann:pw@h`, `http:#@h https:#@h`},
		{"one slash", `http:/ann:pw@h`, `http:/#@h`},
		{"three slashes", `http:///ann:pw@h/`, `http:///#@h/`},
		{"backslashes", `http:\\ann:pw@h {"a":"http:\\\\ann:pw@h"}`, `http:\\#@h {"a":"http:\\\\#@h"}`},
		{"a forgotten scheme", `dial ann:pw@host:80 ann:pw@host/a ann:pw@tcp(db:3306)/x (ann:pw@[::1]:80)`, `dial #@host:80 #@host/a #@tcp(db:3306)/x (#@[::1]:80)`},
		{"a forgotten scheme behind an escape", `{"a":"\nann:pw@host:80"}`, `{"a":"#@host:80"}`},
		{"escaped slashes", `{"a":"http:\/\/ann:pw@h"}`, `{"a":"http:\/\/#@h"}`},
		{"percent-encoded", `?u=http%3A%2F%2Fann%3Apw%40h&x http%253a%252f%252fann%253apw%2540h`, `?u=http%3A%2F%2F#%40h&x http%253a%252f%252f#%2540h`},
		{"an encoded @", `http://ann:pw%40h/`, `http://#%40h/`},
		{"a member that is a URL", `{"url":"http://ann:p\"w x,y@h/","mail":"bob@h"}`, `{"url":"http://#@h/","mail":"bob@h"}`},
		{"a member in JSON in JSON", `{"a":"{\"url\":\"http://ann:p\\\" , w@h/\"}"}`, `{"a":"{\"url\":\"http://#@h/\"}"}`},
		{"a member without a scheme", `{"url":"ann:pw@h"} {"url":"//a b@h"}`, `{"url":"#@h"} {"url":"//#@h"}`},
		{"where to go next", `["Location","//ann:p w@h/"] ["referer","ann:pw@h"]`, `["Location","//#@h/"] ["referer","#@h"]`},
		{"a header with blanks in its name", `["Authorization ","pw"] [" cookie\t","pw"]`, `["Authorization ","#"] [" cookie\t","#"]`},
		{"mail addresses", `bob@example.com <bob@example.com> mailto:bob@example.com/ {"to":"bob@example.com"}`, `bob@example.com <bob@example.com> mailto:bob@example.com/ {"to":"bob@example.com"}`},
		{"ids", `order:ann@example.com sy@2026-11-30T07:50:02Z,sy@2026-11-30T07:50:03Z.2`, `order:ann@example.com sy@2026-11-30T07:50:02Z,sy@2026-11-30T07:50:03Z.2`},
		{"a path and a query", `https://h/a//b@c https://h:80/?to=bob@h http://h: refused, ask bob@h`, `https://h/a//b@c https://h:80/?to=bob@h http://h: refused, ask bob@h`},
		{"JSON behind a bad port", `{"a":"http://h:x","b":"bob@h"}`, `{"a":"http://h:x","b":"bob@h"}`},
		{"a mail address", `see https://host or ann@host`, `see https://host or ann@host`},
		{"nothing", `://`, `://`},
		{"a header", `{"headers":[["Authorization","Bearer x"],["Accept","*/*"]]}`, `{"headers":[["Authorization","#"],["Accept","*/*"]]}`},
		{"a header with spaces", `[ "authorization" , "Bearer \"x\\" ]`, `[ "authorization","#" ]`},
		{"one that the operator has named", `[["X-API-KEY","a"]]`, `[["X-API-KEY","#"]]`},
		{"a header in JSON in JSON", `{"head":"{\"headers\":[[\"Proxy-Authorization\",\"a\\\"b\"],[\"A\",\"b\"]]}"}`, `{"head":"{\"headers\":[[\"Proxy-Authorization\",\"#\"],[\"A\",\"b\"]]}"}`},
		{"a header in JSON in JSON in JSON", `"\"[\\\"Authorization\\\",\\\"a\\\"]\""`, `"\"[\\\"Authorization\\\",\\\"#\\\"]\""`},
		{"cookies", `[["Cookie","a=1; b=2"]]`, `[["Cookie","a=#; b=#"]]`},
		{"a cookie that is set", `[["Set-Cookie","a=1; Path=/; HttpOnly"]]`, `[["Set-Cookie","a=#; Path=/; HttpOnly"]]`},
		{"a cookie with a line break in its name", `[["Cookie","a\nb=1"]]`, `[["Cookie","#"]]`},
		{"a cookie that is none", `[["Cookie","secret"]]`, `[["Cookie","#"]]`},
		{"a placeholder of a secret", `["Authorization","Bearer ` + placeholder + `"]`, `["Authorization","Bearer ` + placeholder + `"]`},
		{"a placeholder and more", `["Authorization","Bearer ` + placeholder + `x"]`, `["Authorization","#"]`},
		{"an empty header", `["Authorization",""]`, `["Authorization",""]`},
		{"a header without its end", `["Authorization","Bearer x`, `["Authorization","Bearer x`},
		{"a parameter", `https://host/?a=1&token=x&b=2 https://host/?tokens=1`, `https://host/?a=1&token=#&b=2 https://host/?tokens=1`},
		{"a parameter in capitals", `https://host/?TOKEN=1&Token=2`, `https://host/?TOKEN=#&Token=#`},
		{"a parameter whose name is escaped", `https://host/?to%6ben=1&%74%4Fken=2`, `https://host/?to%6ben=#&%74%4Fken=#`},
		{"a parameter behind a semicolon", `https://host/?a;token=1;b https://host/?a=1&amp;token=1`, `https://host/?a;token=# https://host/?a=1&amp;token=#`},
		{"a parameter in JSON in JSON", `"{\"a\":\"https://host/?a=1\\u0026TOKEN=1\"}"`, `"{\"a\":\"https://host/?a=1\\u0026TOKEN=#\"}"`},
		{"what was hidden before", `http://redacted:0123456789ab@host ["Authorization","redacted"]`, `http://redacted:0123456789ab@host ["Authorization","redacted"]`},
		{"text", `["Bearer","x"] [1,"a"] [`, `["Bearer","x"] [1,"a"] [`},
	} {
		got := m.Text(row.in)
		want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(row.want), "#", hash.String()) + "$")
		if !want.MatchString(got) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		if again := m.Text(got); again != got {
			t.Errorf("%s: hidden again it is %s", row.name, again)
		}
		if json.Valid([]byte(row.in)) && !json.Valid([]byte(got)) {
			t.Errorf("%s: it is not JSON any more: %s", row.name, got)
		}
	}
}

func TestEqualValuesHaveEqualHashes(t *testing.T) {
	t.Parallel()
	m, other := mustMask(t, "key"), mustMask(t, "another key")
	header := func(m *Mask, v string) string { return m.Text(`["Authorization","` + v + `"]`) }
	if header(m, "a") != header(mustMask(t, "key"), "a") || header(m, "a") == header(m, "b") || header(m, "a") == header(other, "a") {
		t.Errorf("%s %s %s", header(m, "a"), header(m, "b"), header(other, "a"))
	}
	url := strings.TrimSuffix(strings.TrimPrefix(m.Text("http://ann:p%26w@h"), "http://"), "@h")
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:p&w"))
	if !strings.Contains(header(m, basic), url) {
		t.Errorf("in a URL it is %s, in a header %s", url, header(m, basic))
	}
	replayed := "Basic " + base64.StdEncoding.EncodeToString([]byte(url))
	if header(m, replayed) != header(m, basic) {
		t.Errorf("made of what is hidden it is %s, before %s", header(m, replayed), header(m, basic))
	}
	nested, err := json.Marshal(`["Authorization","a\"b"]`)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(m.Text(`["Authorization","a\"b"]`), `"`)[3]
	if got := m.Text(string(nested)); !strings.Contains(got, want) {
		t.Errorf("in JSON it is %s, by itself %s", got, want)
	}
	if got := (&Mask{}).Text("http://ann:pw@h"); got != "http://ann:pw@h" {
		t.Errorf("the zero value hides %s", got)
	}
}

// TestExportedMaskHidesTheSameValues compares an exported log under the rules that it contains.
func TestExportedMaskHidesTheSameValues(t *testing.T) {
	t.Parallel()
	m := mustMask(t, "key", "header:X-Api-Key", "query:token")
	rules := m.Rules("run")
	r, err := NewRedaction(rules)
	if err != nil {
		t.Fatal(err)
	}
	call := flawless.Call{Kind: "http", Head: []byte(`{"url":"http://ann:pw@h/?token=1","headers":[["x-api-key","a"],["Authorization","b"]]}`)}
	logged := r.Call(call)
	if text := string(logged.Head); strings.Contains(text, "pw") || strings.Contains(text, `"a"`) || strings.Contains(text, `"b"`) || strings.Contains(text, "=1") {
		t.Errorf("it is %s", text)
	}
	other := call
	other.Head = []byte(strings.Replace(string(call.Head), `"b"`, `"c"`, 1))
	if !logged.Same(r.Call(call)) || logged.Same(r.Call(other)) || logged.Same(call) {
		t.Error("the call and others are not told apart")
	}
	if strings.Join(rules, " ") != strings.Join(m.Rules("run"), " ") || rules[0] == m.Rules("another")[0] {
		t.Error("the salt is not that of the name")
	}
	if !Own(rules) || Own(append(rules, "mask:"+Received)) || Own([]string{"$.a"}) || !Own(nil) {
		t.Error("what was taken out is not told apart")
	}
	for _, bad := range [][]string{{"salt:x"}, {"salt:"}, {"mask:header:"}, {"mask:all:x"}} {
		if _, err := NewRedaction(bad); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "x", "header:", "header:a b", "path:a", "query:\n"} {
		if _, err := NewMask(nil, bad); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestShownDoesNotModifyItsArgument(t *testing.T) {
	t.Parallel()
	const secret = "http://ann:pw@host"
	text, body := secret, flawless.Bytes(secret)
	v := struct {
		Text   string
		List   []string
		Map    map[string]any
		To     *string
		Body   flawless.Bytes
		Raw    json.RawMessage
		Binary []byte
		Time   time.Time
		Own    json.RawMessage `redact:"-"`
		None   *flawless.Run
		secret string
	}{secret, []string{secret}, map[string]any{"a": []any{secret}}, &text, body, json.RawMessage(`"` + secret + `"`), []byte{1}, time.Unix(1, 0), json.RawMessage(secret), nil, secret}
	out := Shown(mustMask(t, "key"), v)
	if string(out.Own) != secret || out.secret != secret || out.None != nil || !out.Time.Equal(v.Time) || out.Binary[0] != 1 {
		t.Errorf("what stays became %+v", out)
	}
	out.Own, out.secret = nil, ""
	if b, err := json.Marshal(out); err != nil || strings.Contains(string(b), "pw") || strings.Count(string(b), "redacted:") != 6 {
		t.Errorf("%s %v", b, err)
	}
	if v.List[0] != secret || v.Map["a"].([]any)[0] != secret || text != secret || string(body) != secret {
		t.Errorf("it was changed: %+v", v)
	}
	if got := Shown[any](mustMask(t, "key"), nil); got != nil {
		t.Errorf("nothing became %v", got)
	}
}

func TestLogHandlerMasksCredentials(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m, err := NewMask(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: m.Attr}))
	log.Info("a run was set aside", "error", errors.New(`asked {"headers":[["Authorization","Bearer pw"]]}`), "url", "http://ann:pw@h", "ids", []string{"http://ann:pw@h"})
	if text := out.String(); strings.Contains(text, "pw") || strings.Count(text, "redacted") != 3 {
		t.Errorf("it is %s", text)
	}
}

// TestHostileTextIsMaskedQuickly uses texts built to make masking slow.
func TestHostileTextIsMaskedQuickly(t *testing.T) {
	t.Parallel()
	m := mustMask(t, "key", "query:token")
	for _, part := range []string{"://a:b/", "://a:b@", `["`, `["[\"`, `[\\\"`, "[ ", "[\\", `["Cookie","`, "://", "//", "://a:b ", "a:b@", "a:b@c ", `"url":"`, "%2F%2F", `invalid port ":`, `parse "http://a:b": `, `parse "//a:b": invalid port \":x" after host `, "=", "?a=", "%61;", "http:", `:\\`} {
		small, large := strings.Repeat(part, 1<<12), strings.Repeat(part, 1<<16)
		took := func(text string) time.Duration {
			best := time.Hour
			for range 3 {
				began := time.Now()
				m.Text(text)
				best = min(best, time.Since(began))
			}
			return best
		}
		if a, b := took(small), took(large); b > 100*a && b > time.Second { // 16 times is linear, 256 times is quadratic
			t.Errorf("%q: %v, and %v for 16 times as much", part, a, b)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add(`{"url":"http://a:b@c","headers":[["Authorization","x"]]}`)
	f.Add(`"[\"Cookie\",\"a=b\"]"`)
	f.Add(`{"url":"http://a:b\"@c"} a:b@c:1 //a:b\"@c:1 http:\/\/a:b@c http%3A%2F%2Fa%3Ab%40c http:\\a:b@c invalid port ":a" after host`)
	f.Add(`parse "http://a:b": invalid port ":b" after host ?TOKEN=1;to%6ben=#token=`)
	m := mustMask(f, "key", "query:token")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?") // heads and JSON are valid UTF-8
		out := m.Text(text)
		if again := m.Text(out); again != out {
			t.Errorf("%q became %q and then %q", text, out, again)
		}
		if json.Valid([]byte(text)) && !json.Valid([]byte(out)) {
			t.Errorf("%q became %q, which is not JSON", text, out)
		}
	})
}
