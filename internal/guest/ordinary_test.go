package guest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestOrdinaryGo checks that time zones, signals and the name of the program work without any import or option.
func TestOrdinaryGo(t *testing.T) {
	t.Parallel()
	resting.each(t, func(t *testing.T, build func() ([]byte, error)) {
		m := loadBuilt(t, build, Options{})
		i, err := m.Start(t.Context(), Start{Run: "wkf_1", Module: "rest", Workflow: "ordinary", Input: []byte(`"Asia/Kathmandu"`),
			Seed: bytes.Repeat([]byte{1}, 32), Time: began})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // waiting for signals would spin forever
		defer cancel()
		out, err := i.Turn(ctx, In{Time: began})
		if err != nil || out.Wake != began+int64(time.Hour) {
			t.Fatalf("the first turn: %+v, %v", out, err)
		}
		out, err = i.Turn(ctx, In{Time: began + int64(time.Hour)})
		const want = `"workflow 04:58 +0545"`
		if err != nil || out.Ended == nil || string(out.Ended.Output) != want {
			t.Errorf("it ended with %+v, %v, want %s", out.Ended, err, want)
		}
	})
}

// TestFailedInitialisationIsExplained checks that the refusal says how the module failed, in which package and where,
// and what it printed.
func TestFailedInitialisationIsExplained(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, flag string
		want       []string
	}{
		{"a panic", "-ldflags=-s -w -X main.broken=sesame", []string{"panic: sesame, in package main at main.go:", "main.init.0()"}},
		{"log.Fatal", "-ldflags=-s -w -X main.exits=sesame", []string{"exited with code 1", "sesame"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bin, err := buildWith("rest", "", row.flag)
			if err != nil {
				t.Fatal(err)
			}
			_, err = newRuntime(t, Options{CacheDir: compiled()}).Load(t.Context(), bin, nil)
			if !errors.Is(err, flawless.Refused) {
				t.Fatalf("it was not refused: %v", err)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the refusal lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestCulprit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, stack, want string }{
		{"a library", "goroutine 1 [running]:\npanic({0x1, 0x2})\n\truntime/panic.go:1 +0x1\ngithub.com/golang/glog.init.0()\n\t/home/ann/glog/glog.go:17 +0x2\nmain.init()", "package github.com/golang/glog at glog.go:17"},
		{"a dot in the path", "goroutine 1 [running]:\ngopkg.in/yaml%2ev3.init.0(...)\n\tyaml.go:1", "package gopkg.in/yaml.v3 at yaml.go:1"},
		{"only the runtime", "goroutine 1 [running]:\nruntime.main()\n\tproc.go:1", ""},
		{"not Go", "module.boom (i32) i32", ""},
		{"cut off", "goroutine 1 [running]:\nmain.init()", ""},
	} {
		if got := culprit(row.stack); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
