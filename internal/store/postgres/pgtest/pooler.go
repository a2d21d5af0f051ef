package pgtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Pooler is a PgBouncer in transaction mode before a server.
type Pooler struct {
	dir  string
	port int
	process
}

// errNoPooler says how to get PgBouncer.
var errNoPooler = errors.New("PgBouncer is missing: make setup installs it, or: apt-get install pgbouncer; FLAWLESS_TEST_WITHOUT=pgbouncer leaves its tests out")

// Pooled starts a [Pooler] for this test, and returns the address for a user. It skips the test if FLAWLESS_TEST_WITHOUT
// has pgbouncer.
func (s *Server) Pooled(t testing.TB, user string, size int) string {
	t.Helper()
	if slices.Contains(strings.Fields(os.Getenv("FLAWLESS_TEST_WITHOUT")), "pgbouncer") {
		t.Skip("pgbouncer is left out by FLAWLESS_TEST_WITHOUT (make setup says how to get it)")
	}
	p, err := s.OpenPooler(user, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return s.URLAt(user, p.Port()) + Behind
}

// Behind is what the address of a database has when a pooler is before it.
const Behind = "&pool=pgbouncer"

// OpenPooler starts PgBouncer with size connections to the server, for one user. Close it.
func (s *Server) OpenPooler(user string, size int) (*Pooler, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // which is not in everybody's path
	}
	if _, err := os.Stat(program); err != nil {
		return nil, errNoPooler
	}
	p := &Pooler{}
	if p.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, err
	}
	if err := p.start(program, s.port, user, size); err != nil {
		p.Close()
		return nil, fmt.Errorf("starting PgBouncer: %w", err)
	}
	return p, nil
}

func (p *Pooler) start(program string, server int, user string, size int) (err error) {
	if p.port, err = freePort(); err != nil {
		return err
	}
	config, log := filepath.Join(p.dir, "pgbouncer.ini"), filepath.Join(p.dir, "log")
	text := fmt.Sprintf("[databases]\n%s = host=127.0.0.1 port=%d dbname=%s user=%s\n", Database, server, Database, user) +
		fmt.Sprintf("[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n", p.port) +
		fmt.Sprintf("default_pool_size = %d\nmax_client_conn = 1000\nlogfile = %s\n", size, log)
	if err := errors.Join(os.WriteFile(config, []byte(text), 0o644), own(p.dir)); err != nil {
		return err
	}
	p.cmd = exec.Command(program, config)
	p.cmd.Dir = p.dir
	p.cmd.SysProcAttr = unprivileged(false)
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	for began := time.Now(); ; {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
		if err == nil {
			return c.Close()
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("it does not accept connections: %w", err)
		}
		select {
		case <-p.done:
			text, _ := os.ReadFile(log)
			return fmt.Errorf("it has ended: %v\n%s", p.err, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Port returns the port of the pooler, on 127.0.0.1.
func (p *Pooler) Port() int { return p.port }

// Close stops the pooler and removes its directory.
func (p *Pooler) Close() {
	if p.done != nil {
		_ = p.cmd.Process.Signal(Immediate)
		<-p.done
	}
	_ = os.RemoveAll(p.dir)
}
