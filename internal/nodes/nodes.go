// Package nodes runs nodes of a cluster as processes: those of the demo and of the chaos tests.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// Options say what a node is.
type Options struct {
	Binary string // the program
	Dir    string // for the directories of all nodes
	Name   string
	Store  string // address of the database
	Lease  time.Duration
	Host   string   // its IP address; "" is 127.0.0.1
	Token  string   // of the API; "" is none
	Within []string // a command before the program, such as one that enters a network namespace
}

// Node is a server of a cluster. It keeps its name, addresses and working directory when it is started again. Its methods may
// be called concurrently; starting and stopping wait for each other.
type Node struct {
	Name string
	Dir  string // its working directory, and its log
	Host string
	Port int // of the API

	o     Options
	peers int // port for other nodes
	api   *client.Client

	mu      sync.Mutex // held while it is started or stopped
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// New returns a node that has not been started.
func New(o Options) (*Node, error) {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	n := &Node{Name: o.Name, Dir: filepath.Join(o.Dir, o.Name), Host: o.Host, o: o}
	for _, port := range []*int{&n.Port, &n.peers} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		*port = l.Addr().(*net.TCPAddr).Port
		defer l.Close()
	}
	var err error
	n.api, err = client.New(client.Options{Socket: n.Socket(), Port: n.Port, Token: o.Token, NoQUIC: true, Patience: -1})
	return n, err
}

// Socket returns the address of the API.
func (n *Node) Socket() string { return net.JoinHostPort(n.Host, strconv.Itoa(n.Port)) }

// Flags returns the arguments of a command that is sent to the node.
func (n *Node) Flags(args ...string) []string {
	return append([]string{"--socket", n.Socket(), "--port", strconv.Itoa(n.Port)}, args...)
}

// Client returns a client of the node, which may be down. The client repeats nothing.
func (n *Node) Client() *client.Client { return n.api }

// Start starts the node and waits until it answers.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	words := append(append(n.o.Within[:len(n.o.Within):len(n.o.Within)], n.o.Binary), n.Flags("--working-dir", n.Dir, "up", "--store", n.o.Store, "--name", n.Name,
		"--advertise", net.JoinHostPort(n.Host, strconv.Itoa(n.peers)), "--lease", n.o.Lease.String())...)
	p := exec.Command(words[0], words[1:]...)
	p.Env = append(p.Environ(), "FLAWLESS_TOKEN="+n.o.Token)
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = p.Wait()
		close(ended)
	}()
	n.process, n.ended = p, ended
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := n.api.Version(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
			continue
		case <-ended:
			err = errors.New("its process has ended: " + p.ProcessState.String())
		case <-ctx.Done():
		}
		return fmt.Errorf("node %s does not answer: %w; its log: %s", n.Name, err, n.Log())
	}
}

func (n *Node) log() string { return filepath.Join(n.Dir, "log") }

// Log returns what the node has printed and logged since it was made.
func (n *Node) Log() string {
	text, _ := os.ReadFile(n.log())
	return string(text)
}

// PID returns the number of the process, 0 before the first start.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return 0
	}
	return n.process.Process.Pid
}

// Signal sends a signal to the process.
func (n *Node) Signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process.Process.Signal(s)
}

// Ended reports whether the process has ended by itself, or was stopped.
func (n *Node) Ended() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

// Kill kills the process, and returns when it has ended.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		_ = n.process.Process.Kill()
		<-n.ended
	}
}

// Stop stops the process in order, and returns when it has ended.
func (n *Node) Stop(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.ended:
	case <-ctx.Done():
		return fmt.Errorf("node %s does not stop: %w; its log: %s", n.Name, ctx.Err(), n.Log())
	}
	if code := n.process.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("node %s has stopped with exit code %d; its log: %s", n.Name, code, n.Log())
	}
	return nil
}

// Away reports whether an error says that a node cannot answer now, so another one may be asked. A request with such an error
// may have been carried out.
func Away(err error) bool {
	switch flawless.CodeOf(err) {
	case flawless.Stopping, flawless.Fenced, flawless.Elsewhere:
		return true
	}
	return errors.Is(err, client.Unreachable) || errors.Is(err, client.Lost)
}
