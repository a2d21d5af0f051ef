package engine

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/vault"
)

// lines is a log that tests read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newVault(t *testing.T, kv store.KV) *vault.Vault {
	t.Helper()
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(t.Context(), s, vault.Options{Env: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSecretValueIsNeverVisible: a run sends a secret everywhere, to a server that sends it back, and spreads
// what it got. The value is searched for in all that the engine holds or says.
func TestSecretValueIsNeverVisible(t *testing.T) {
	t.Parallel()
	const value = "correct-horse-battery"
	var got, other atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Query().Get("key") == value && string(body) == value && r.Header.Get("Authorization") == "Bearer "+value {
			got.Add(1)
		}
		w.Header().Set("X-Seen", r.Header.Get("Authorization"))
		fmt.Fprintf(w, "%s %v %s", r.URL, r.Header, body)
	}))
	t.Cleanup(web.Close)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { other.Add(1) }))
	t.Cleanup(elsewhere.Close)

	kv, text := mem.New(), &lines{}
	v := newVault(t, kv)
	client := effect.NewClient(effect.ClientOptions{}, v.Open)
	t.Cleanup(client.Close)
	e := open(t, kv, Options{Vault: v, Kinds: effect.Kinds(effect.Options{HTTP: client}), Freezing: Freezing{Turns: 1},
		Log: slog.New(slog.NewTextHandler(text, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if _, err := e.SetSecret(t.Context(), "TOKEN", []string{web.URL}, value); err != nil {
		t.Fatal(err)
	}
	id := mustStart(t, e, "confide", map[string]any{"url": web.URL, "dead": deadURL, "other": elsewhere.URL}, "").ID
	until(t, e, id, func(r flawless.Run) bool { return r.Status == flawless.Waiting && r.Wake != nil })

	said := string(input(t, e.Health())) + text.String()
	memory := memoryOf(t, e, id)
	run, _ := e.Run(t.Context(), id)
	log, _ := e.Log(t.Context(), id, 0, 0)
	data, _ := e.Data(t.Context(), id)
	secrets, _ := v.List(t.Context())
	said += string(input(t, run)) + string(input(t, log)) + string(data) + string(input(t, secrets))
	for item, err := range kv.Scan(t.Context(), store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		said += string(item.Key) + string(item.Value)
	}
	for what, where := range map[string]string{"what the engine says or stores": said, "the guest's memory": memory} {
		for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value)), "horse-bat"} {
			if strings.Contains(where, form) {
				t.Errorf("%s has %q", what, form)
			}
		}
		if !strings.Contains(where, "flawless-secret.TOKEN.") {
			t.Errorf("%s lacks the placeholder: the search proves nothing", what)
		}
	}
	if got.Load() != 1 || other.Load() != 0 {
		t.Errorf("the server got it %d times, another one %d times", got.Load(), other.Load())
	}
}

// memoryOf returns the memory of a run's guest, as its image has it.
func memoryOf(t *testing.T, e *Engine, id string) string {
	t.Helper()
	log, err := e.Log(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	image, err := e.store.Image(t.Context(), id)
	for (err != nil || int(image.Seq) < len(log)) && t.Context().Err() == nil {
		runtime.Gosched()
		image, err = e.store.Image(t.Context(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	at := bytes.Index(image.Guest, []byte{0x28, 0xb5, 0x2f, 0xfd})
	if at < 0 {
		t.Fatal("the image is not compressed")
	}
	b, err := d.DecodeAll(image.Guest[at:], nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
