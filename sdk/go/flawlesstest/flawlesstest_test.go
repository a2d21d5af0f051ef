//go:build !wasip1

package flawlesstest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const root = "../../.."

// TestMain builds the command flawless for the tests.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "flawlesstest")
	if err == nil {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "flawless"), "./cmd/flawless")
		cmd.Dir, cmd.Stderr = root, os.Stderr
		if err = cmd.Run(); err == nil {
			err = os.Setenv(binary, filepath.Join(dir, "flawless"))
		}
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "building the command:", err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// shop is an outside with three services that keep count.
type shop struct {
	mu    sync.Mutex
	fails string
	there map[string]int // by path
	keys  map[string]string
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	switch {
	case s.keys[key] != "": // as a good service does
		fmt.Fprint(w, s.keys[key])
		return
	case r.Method == http.MethodDelete:
		s.there[r.URL.Path]--
		return
	case r.URL.Path == s.fails:
		w.WriteHeader(http.StatusConflict)
		return
	}
	id := fmt.Sprint("n", len(s.keys)+1)
	s.there[r.URL.Path+"/"+id]++
	s.keys[key] = fmt.Sprintf(`{"id":%q}`, id)
	fmt.Fprint(w, s.keys[key])
}

func checkout(s *shop) Test {
	s.there, s.keys = map[string]int{}, map[string]string{}
	return Test{Module: filepath.Join(root, "examples", "checkout"), Workflow: "checkout", Outside: s,
		Input: map[string]any{"id": "1", "item": "book", "quantity": 1, "card": "c", "cents": 5, "services": "https://shop.test"}}
}

func TestRunCompletes(t *testing.T) {
	s := &shop{}
	r := Run(t, checkout(s))
	var out map[string]any
	r.Into(t, &out)
	if len(r.Requests) != 3 || r.Requests[0].Status != 200 || r.Requests[0].Key == "" || len(s.there) != 3 {
		t.Errorf("Outside got %+v and has %v", r.Requests, s.there)
	}
	r = Run(t, checkout(&shop{fails: "/shipments"}))
	if r.Status != "failed" || r.Failure == nil {
		t.Errorf("it is %+v", r)
	}
}

func TestCrashEverywhere(t *testing.T) {
	for _, fails := range []string{"", "/shipments"} {
		w := checkout(&shop{fails: fails})
		r := CrashEverywhere(t, w)
		if (r.Status == "completed") != (fails == "") {
			t.Errorf("with failing %q the result is %+v", fails, r)
		}
	}
}

func TestSleepingTakesNoTime(t *testing.T) {
	w := Test{Module: filepath.Join(root, "examples", "reminder"), Workflow: "reminder",
		Input:   map[string]any{"url": "http://remind.test/", "text": "pay", "times": 3, "every_days": 7, "days": 7},
		Outside: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	r := Run(t, w)
	if r.Status != "completed" || r.Virtual < 24*time.Hour || len(r.Requests) < 2 {
		t.Errorf("it is %+v", r)
	}
}
