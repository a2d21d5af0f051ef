package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// server is a real server in its own process and folder.
type server struct {
	b      *bench
	dir    string
	socket string
	flags  []string // of up
	cmd    *exec.Cmd
	*client.Client
}

// serve starts a server with the guest, and flags for up. Servers share compiled code.
func (b *bench) serve(ctx context.Context, flags ...string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	dir, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, err
	}
	shared := filepath.Join(b.dir, "compiled")
	if err := errors.Join(os.MkdirAll(shared, 0o700), os.Symlink(shared, filepath.Join(dir, "compiled"))); err != nil {
		return nil, err
	}
	s := &server{b: b, dir: dir, socket: "127.0.0.1:" + strconv.Itoa(port), flags: flags}
	if s.Client, err = client.New(client.Options{Socket: s.socket, NoQUIC: true, Patience: -1}); err != nil {
		return nil, err
	}
	if _, err := s.up(ctx); err != nil {
		return nil, err
	}
	if _, _, err := s.AddModule(ctx, "bench", b.module, nil); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// up starts the process and returns how long it takes until it responds.
func (s *server) up(ctx context.Context) (time.Duration, error) {
	s.cmd = exec.Command(s.b.binary, "--working-dir", s.dir, "--socket", s.socket, "up")
	s.cmd.Args = append(s.cmd.Args, s.flags...)
	s.cmd.Env = append(s.cmd.Environ(), "FLAWLESS_TOKEN=") // these clients send none
	s.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	for time.Since(began) < 5*time.Minute {
		if _, err := s.Version(ctx); err == nil {
			return time.Since(began), nil
		}
		<-time.After(2 * time.Millisecond)
	}
	s.kill()
	return 0, errors.New("the server does not come up")
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// end stops the server and removes its data.
func (s *server) end() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	_ = s.Close()
	_ = os.RemoveAll(s.dir)
}

func (s *server) resident() int64 { return resident(s.cmd.Process.Pid) }
func (s *server) disk() int64     { return used(filepath.Join(s.dir, "store")) }

// complete starts a run and returns it when it has completed.
func complete(ctx context.Context, c *client.Client, workflow string, in any) (flawless.Run, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return flawless.Run{}, err
	}
	r, _, err := c.Start(ctx, client.Start{Module: "bench", Workflow: workflow, Input: b}, true)
	if err == nil && r.Status != flawless.Completed {
		err = fmt.Errorf("a run of %s is %s: %+v", workflow, r.Status, r.Failure)
	}
	return r, err
}

// settled waits until no guest is in memory.
func (s *server) settled(ctx context.Context) error {
	for range 1200 {
		h, err := s.Health(ctx)
		if err != nil {
			return err
		}
		if h.Live == 0 {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return errors.New("guests do not leave memory")
}

// outside is the server that the workflows call, in its own process.
func outside() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("http://" + l.Addr().String())
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"ch_1"}`)
	}))
}

// callOutside starts the process of that server.
func (b *bench) callOutside() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.remote = exec.Command(self, "outside")
	pipe, err := b.remote.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.remote.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(pipe).ReadString('\n')
	b.url = strings.TrimSpace(line)
	return err
}
