package main

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
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless/client"
)

// node is a server of the cluster. It keeps its name, address and directory when it is started again.
type node struct {
	name, binary, dir, store string
	port                     int
	process                  *exec.Cmd
	busy                     atomic.Bool // being killed and started

	mu  sync.Mutex // guards api
	api *client.Client
}

func (d *demo) newNode(name string) (*node, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &node{name: name, binary: d.binary, dir: filepath.Join(d.dir, name), store: d.store, port: l.Addr().(*net.TCPAddr).Port}, nil
}

// flags returns the arguments of a command that is sent to the node.
func (n *node) flags(args ...string) []string {
	return append([]string{"--socket", socket(n.port), "--port", strconv.Itoa(n.port)}, args...)
}

// start starts the node and waits until it answers.
func (n *node) start(ctx context.Context) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	n.process = exec.Command(n.binary, n.flags("--working-dir", n.dir, "up", "--store", n.store, "--name", n.name, "--advertise", "127.0.0.1:0", "--lease", lease.String())...)
	n.process.Env = append(n.process.Environ(), "FLAWLESS_TOKEN=") // the client of the demo sends none
	n.process.Stdout, n.process.Stderr = log, log
	if err := n.process.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		c := n.client()
		_, err := c.Version(ctx)
		if err == nil {
			fmt.Printf("  node %s is up, process %d\n", n.name, n.process.Process.Pid)
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name())
			return errors.Join(fmt.Errorf("node %s does not answer: %w", n.name, err), fmt.Errorf("its log: %s", text))
		}
	}
}

// client returns a client of the node, which may be down.
func (n *node) client() *client.Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.api == nil {
		c, err := client.New(client.Options{Socket: socket(n.port), Port: n.port, NoQUIC: true, Patience: -1})
		if err != nil {
			panic(err) // the address is our own
		}
		n.api = c
	}
	return n.api
}

// stop kills the node.
func (n *node) stop() {
	if n.process != nil && n.process.Process != nil {
		_ = n.process.Process.Kill()
		_ = n.process.Wait()
	}
}
