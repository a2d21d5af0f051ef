package effect_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

func kind(t *testing.T, name string) effect.Kind {
	t.Helper()
	for _, k := range effect.Kinds(effect.Options{}) {
		if k.Name == name {
			return k
		}
	}
	t.Fatalf("no kind %q", name)
	return effect.Kind{}
}

func TestCheckReadsPolicyOfCall(t *testing.T) {
	t.Parallel()
	retry := effect.Retry{Attempts: 3, Initial: 100 * time.Millisecond, Factor: 2, Max: 30 * time.Second, Jitter: 0.2}
	for _, row := range []struct {
		kind, head, body string
		want             effect.Policy
	}{
		{"http", `{"url":"http://h/p?secret=1","new":[1]}`, "", effect.Policy{Title: "GET http://h/p?…", Host: "h", Port: "80", Idempotent: true}},
		{"http", `{"method":"POST","url":"https://h/","on_unknown":"tell","at":"x.go:1"}`, "", effect.Policy{Title: "POST https://h/", Host: "h", Port: "443", Tell: true}},
		{"http", `{"method":"POST","url":"https://h/","idempotent":true,"timeout_ms":0,"limit":0}`, "", effect.Policy{Title: "POST https://h/", Host: "h", Port: "443", Idempotent: true, ByCode: true}},
		{"http", `{"method":"DELETE","url":"https://h/","idempotent":false,"on_unknown":"stop"}`, "", effect.Policy{Title: "DELETE https://h/", Host: "h", Port: "443", ByCode: true}},
		{"http", `{"method":"PATCH","url":"https://bücher.example/","retry":{"attempts":3}}`, "", effect.Policy{Title: "PATCH https://xn--bcher-kva.example/", Host: "xn--bcher-kva.example", Port: "443", Retry: retry}},
		{"http", `{"url":"http://[::1]:80/","retry":{"attempts":4,"initial_ms":0,"factor":1.5,"max_ms":1,"jitter":0,"statuses":[500]}}`, "",
			effect.Policy{Title: "GET http://[::1]:80/", Host: "::1", Port: "80", Idempotent: true, Retry: effect.Retry{Attempts: 4, Factor: 1.5, Max: time.Millisecond}}},
		{"http", `{"url":"http://h/","headers":null,"retry":null,"idempotent":null}`, "", effect.Policy{Title: "GET http://h/", Host: "h", Port: "80", Idempotent: true}},
		{"sleep", `{"for":1500000000}`, "", effect.Policy{Title: "sleep for 1.5s"}},
		{"sleep", `{"until":0}`, "", effect.Policy{Title: "sleep until 1970-01-01T00:00:00Z"}},
		{"cancelled", `{}`, "", effect.Policy{Title: "cancelled"}},
		{"cancelled", ``, "", effect.Policy{Title: "cancelled"}},
		{"log", `{"level":"warn","fields":{"a":1}}`, "text", effect.Policy{Title: "log"}},
		{"data", `{}`, `{"a":1}`, effect.Policy{Title: "data"}},
	} {
		got, err := kind(t, row.kind).Check(flawless.Call{N: 1, Kind: row.kind, Head: []byte(row.head), Body: []byte(row.body)})
		if err != nil {
			t.Errorf("%s %s: %v", row.kind, row.head, err)
		}
		if d := cmp.Diff(row.want, got, cmpopts.IgnoreUnexported(effect.Policy{})); d != "" {
			t.Errorf("%s %s: %s", row.kind, row.head, d)
		}
	}
}

func TestInvalidHeadIsRejected(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ kind, head, want string }{
		{"http", ``, "not JSON"},
		{"http", `[]`, "JSON array"},
		{"http", `null`, "null"},
		{"http", `{"url":"http://h/"} x`, "not JSON"},
		{"http", "{\"url\":\"http://h/\xff\"}", "UTF-8"},
		{"http", `{}`, `"url" is missing`},
		{"http", `{"url":1}`, `"url" is a JSON number, give a string`},
		{"http", `{"url":"ftp://h/"}`, "scheme"},
		{"http", `{"url":"/path"}`, "scheme"},
		{"http", `{"url":"http:///x"}`, "host is missing"},
		{"http", `{"url":"http://h:0/"}`, "port"},
		{"http", `{"url":"http://h:99999/"}`, "port"},
		{"http", `{"url":"http://h:x/"}`, `"url" is not a URL`},
		{"http", `{"url":"http://h/\r\nX: y"}`, `"url" is not a URL`},
		{"http", `{"url":"http://h/","method":"post"}`, `"method"`},
		{"http", `{"url":"http://h/","method":"GET /"}`, `"method"`},
		{"http", `{"url":"http://h/","method":"CONNECT"}`, `"method" is CONNECT`},
		{"http", `{"url":"http://h/","method":"A\r\nB"}`, `"method"`},
		{"http", `{"url":"http://h/","headers":{}}`, `"headers" is a JSON object, give an array`},
		{"http", `{"url":"http://h/","headers":[["a"]]}`, `"headers": entry 0 has 1 strings`},
		{"http", `{"url":"http://h/","headers":[["a b","c"]]}`, "HTTP does not allow"},
		{"http", `{"url":"http://h/","headers":[["","c"]]}`, "HTTP does not allow"},
		{"http", `{"url":"http://h/","headers":[[":path","c"]]}`, "HTTP does not allow"},
		{"http", `{"url":"http://h/","headers":[["a","b\r\nc: d"]]}`, "value of a holds"},
		{"http", `{"url":"http://h/","headers":[["transfer-encoding","chunked"]]}`, "Transfer-Encoding belongs"},
		{"http", `{"url":"http://h/","headers":[["connection","close"]]}`, "Connection belongs"},
		{"http", `{"url":"http://h/","headers":[["upgrade","x"]]}`, "Upgrade belongs"},
		{"http", `{"url":"http://h/","headers":[["content-length","7"]]}`, "Content-Length"},
		{"http", `{"url":"http://h/","headers":[["host","a"],["host","b"]]}`, "Host"},
		{"http", `{"url":"http://h/","headers":[["host","a b"]]}`, "Host"},
		{"http", `{"url":"http://h/","idempotent":"yes"}`, `"idempotent" is a JSON string, give true or false`},
		{"http", `{"url":"http://h/","timeout_ms":-1}`, `"timeout_ms" is -1`},
		{"http", `{"url":"http://h/","timeout_ms":1.5}`, `"timeout_ms"`},
		{"http", `{"url":"http://h/","timeout_ms":99999999999999999999}`, `"timeout_ms"`},
		{"http", `{"url":"http://h/","limit":-1}`, `"limit" is -1`},
		{"http", `{"url":"http://h/","limit":9999999999}`, `"limit"`},
		{"http", `{"url":"http://h/","on_unknown":"ask"}`, `"on_unknown" is "ask"`},
		{"http", `{"url":"http://h/","redirects":-1}`, `"redirects" is -1`},
		{"http", `{"url":"http://h/","retry":3}`, `"retry" is a JSON number, give an object`},
		{"http", `{"url":"http://h/","retry":{"attempts":-1}}`, `"retry.attempts" is -1`},
		{"http", `{"url":"http://h/","retry":{"attempts":"3"}}`, `"retry.attempts" is a JSON string`},
		{"http", `{"url":"http://h/","retry":{"attempts":100000}}`, `"retry.attempts"`},
		{"http", `{"url":"http://h/","retry":{"attempts":2,"initial_ms":-1}}`, `"retry.initial_ms"`},
		{"http", `{"url":"http://h/","retry":{"attempts":2,"factor":0.5}}`, `"retry.factor" is 0.5`},
		{"http", `{"url":"http://h/","retry":{"attempts":2,"factor":1e400}}`, `"retry.factor"`},
		{"http", `{"url":"http://h/","retry":{"attempts":2,"max_ms":0}}`, `"retry.max_ms"`},
		{"http", `{"url":"http://h/","retry":{"attempts":2,"jitter":1.1}}`, `"retry.jitter"`},
		{"http", `{"url":"http://h/","retry":{"attempts":2,"statuses":[99]}}`, `"retry.statuses" has 99`},
		{"sleep", `{}`, `either "until"`},
		{"sleep", `{"until":1,"for":1}`, `either "until"`},
		{"sleep", `{"for":-1}`, `"for" is -1`},
		{"sleep", `{"until":-1}`, `"until" is -1`},
		{"sleep", `{"for":"1s"}`, `"for" is a JSON string`},
		{"cancelled", `[]`, "JSON array"},
		{"log", `{"level":"loud"}`, `"level" is "loud"`},
		{"log", `{"fields":[1]}`, `"fields" is a JSON array, give an object`},
		{"data", `{}`, "body is not JSON"},
	} {
		_, err := kind(t, row.kind).Check(flawless.Call{N: 1, Kind: row.kind, Head: []byte(row.head)})
		if !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s %s: error %v, want %q in it", row.kind, row.head, err, row.want)
		}
	}
}

func TestPerformRejectsInvalidHead(t *testing.T) {
	t.Parallel()
	r := perform(t, newClient(t, effect.ClientOptions{}), call(""))
	if h := headOf(t, r); r.Outcome != effect.NotSent || r.Again || h.Error == nil || h.Error.Kind != "invalid" {
		t.Errorf("result %+v", r)
	}
}

func TestSleepIsDue(t *testing.T) {
	t.Parallel()
	made := time.Unix(1000, 5)
	due := kind(t, effect.Sleep).Due
	for head, want := range map[string]time.Time{`{"for":0}`: made, `{"for":1000000000}`: time.Unix(1001, 5), `{"until":7}`: time.Unix(0, 7)} {
		at, a, err := due(flawless.Call{N: 3, Kind: effect.Sleep, Head: []byte(head)}, made)
		if err != nil || !at.Equal(want) || string(a.Head) != "{}" || a.Call != 3 {
			t.Errorf("%s: %v, %s, %v; want %v", head, at, a.Head, err, want)
		}
	}
	for _, head := range []string{`{"for":9223372036854775807}`, `{}`, `x`} {
		if _, _, err := due(flawless.Call{Kind: effect.Sleep, Head: []byte(head)}, made); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: error %v", head, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	if got, want := string(effect.ErrorAnswer(2, "told", "a \"b\"\n€").Head), `{"error":{"kind":"told","message":"a \"b\"\n€"}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := string(effect.CancelAnswer(2, flawless.Cancel{Who: "ann", Note: "<enough>"}).Head), `{"by":"ann","note":"<enough>"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for body, want := range map[string]string{`{"a":1}`: "application/json", "text": "text/plain; charset=utf-8", "\xff": "application/octet-stream"} {
		a, err := effect.ResponseAnswer(2, 0, []byte(body))
		if err != nil || !strings.Contains(string(a.Head), `["Content-Type","`+want+`"]`) || !strings.HasPrefix(string(a.Head), `{"status":200,`) || string(a.Body) != body {
			t.Errorf("%q: %s, %v", body, a.Head, err)
		}
	}
	for _, status := range []int{-1, 100, 600} {
		if _, err := effect.ResponseAnswer(2, status, nil); !errors.Is(err, flawless.Invalid) {
			t.Errorf("status %d: error %v", status, err)
		}
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, response, method string
		n                      int
		retry                  map[string]any
		again                  bool
		after                  time.Duration
	}{
		{"no policy", "503 X\r\nRetry-After: 7", "GET", 1, nil, false, 7 * time.Second},
		{"default statuses", "503 X\r\nRetry-After: 7", "POST", 1, map[string]any{"attempts": 2}, true, 7 * time.Second},
		{"default statuses behind a gateway", "504 X", "GET", 1, map[string]any{"attempts": 2}, true, 0},
		{"not idempotent, and the gateway gave up", "504 X", "POST", 1, map[string]any{"attempts": 2}, false, 0},
		{"not idempotent, and the gateway got no answer", "502 X", "PATCH", 1, map[string]any{"attempts": 2}, false, 0},
		{"not idempotent, and too much", "429 X", "POST", 1, map[string]any{"attempts": 2}, true, 0},
		{"not idempotent, with statuses of one's own", "504 X", "POST", 1, map[string]any{"attempts": 2, "statuses": []int{504}}, true, 0},
		{"last attempt", "503 X\r\nRetry-After: 7", "GET", 2, map[string]any{"attempts": 2}, false, 7 * time.Second},
		{"not one of them", "500 X", "GET", 1, map[string]any{"attempts": 2}, false, 0},
		{"statuses of one's own", "500 X", "GET", 1, map[string]any{"attempts": 2, "statuses": []int{500}}, true, 0},
		{"no statuses", "503 X", "GET", 1, map[string]any{"attempts": 2, "statuses": []int{}}, false, 0},
		{"a date long ago", "429 X\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT", "GET", 1, map[string]any{"attempts": 2}, true, 0},
		{"a date after the end of all durations", "429 X\r\nRetry-After: Wed, 21 Oct 9999 07:28:00 GMT", "GET", 1, map[string]any{"attempts": 2}, true, math.MaxInt64},
		{"a day", "429 X\r\nRetry-After: 86400", "GET", 1, map[string]any{"attempts": 2}, true, 24 * time.Hour},
		{"2^31 s", "429 X\r\nRetry-After: 2147483648", "GET", 1, map[string]any{"attempts": 2}, true, 1 << 31 * time.Second},
		{"more seconds than a duration holds", "429 X\r\nRetry-After: 9300000000", "GET", 1, map[string]any{"attempts": 2}, true, math.MaxInt64},
		{"more seconds than an integer holds", "429 X\r\nRetry-After: 99999999999999999999", "GET", 1, map[string]any{"attempts": 2}, true, math.MaxInt64},
		{"a negative time", "429 X\r\nRetry-After: -5", "GET", 1, map[string]any{"attempts": 2}, true, 0},
		{"a fraction", "429 X\r\nRetry-After: 1.5", "GET", 1, map[string]any{"attempts": 2}, true, 0},
		{"not a date", "429 X\r\nRetry-After: soon", "GET", 1, map[string]any{"attempts": 2}, true, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := answering(t, func(int) string { return "HTTP/1.1 " + row.response + "\r\nContent-Length: 0\r\n\r\n" })
			members := []any{"method", row.method, "url", "http://" + addr}
			if row.retry != nil {
				members = append(members, "retry", row.retry)
			}
			r := newClient(t, effect.ClientOptions{}).Perform(t.Context(), effect.Attempt{Run: "r", Call: call("", members...), N: row.n})
			if r.Outcome != effect.Answered || r.Again != row.again || r.After != row.after {
				t.Errorf("outcome %d, again %v, after %v", r.Outcome, r.Again, r.After)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`{"url":"http://h/","method":"POST","headers":[["a","b"]],"retry":{"attempts":2}}`)
	f.Fuzz(func(t *testing.T, head string) {
		for _, k := range effect.Kinds(effect.Options{}) {
			if _, err := k.Check(flawless.Call{N: 1, Kind: k.Name, Head: []byte(head)}); err != nil && !errors.Is(err, flawless.Invalid) {
				t.Errorf("%s: %v is not Invalid", k.Name, err)
			}
		}
	})
}

func TestRefusedURLIsNotQuoted(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://ann:pw/4711@h/", "http://ann:pw%zz4711@h/", "http://ann:pw 4711@h/", "http://ann:pw4711@h:x/", "ftp://ann:pw4711@h/"} {
		head, err := json.Marshal(map[string]string{"url": url})
		if err != nil {
			t.Fatal(err)
		}
		_, err = kind(t, effect.HTTP).Check(flawless.Call{N: 1, Kind: effect.HTTP, Head: head})
		if !errors.Is(err, flawless.Invalid) || strings.Contains(err.Error(), "pw") || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), "%zz") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestMessagesDoNotQuoteURLs has malformed URLs. Any part of one may be a password.
func TestMessagesDoNotQuoteURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"http://ann:ses ame@h/", `http://ann:ses"ame@h/`, "http://ann:ses/ame@h/", "http://ann:sesame", "http://sesame%40h:1/",
		"ann:sesame@h:1", "sesame:pw@h:1", "sesame://h/", "//ann:sesame@h/", "http:ann:sesame@h", `http:\\ann:sesame@h`, "http://h:99999/sesame",
		"http://\u00e4sesame%40h/", "http://ann:%zzsesame@h/", "http://h/%zzsesame", "http://[sesame/",
	} {
		head, err := json.Marshal(map[string]string{"url": url})
		if err != nil {
			t.Fatal(err)
		}
		_, err = kind(t, "http").Check(flawless.Call{N: 1, Kind: "http", Head: head})
		if !errors.Is(err, flawless.Invalid) || strings.Contains(err.Error(), "ses") || strings.Contains(err.Error(), "ame@") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
