// Package pgtest runs PostgreSQL servers for tests. It hides where the server's programs are and how they are started.
//
// A server keeps its data in a temporary directory, runs as an unprivileged user, has fsync on, and ends with the test
// process. Tests of one process share a server, where each has a schema of its own; those that change a server start
// their own. The package writes nothing outside its directories.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Users of a server. Each owns the database Database.
const (
	Super        = "postgres"     // may do everything
	User         = "tester"       // an ordinary user without password
	WithPassword = "withpassword" // must give Password
	OnlyTLS      = "onlytls"      // must connect with TLS
	Password     = "only-for-tests"
	Database     = "test"
)

// programs is the environment variable with the directory of other programs of PostgreSQL, to test another version.
const programs = "FLAWLESS_TEST_POSTGRES"

// errMissing says how to get PostgreSQL.
var errMissing = errors.New("the programs of PostgreSQL are missing: make setup installs them, or: apt-get install postgresql; " + programs + " says in which directory they are, FLAWLESS_TEST_WITHOUT=postgres leaves these tests out")

// shared is the server of this process.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Main runs the tests of a package that uses [Shared], stops the server, and returns the exit code.
func Main(m *testing.M) int {
	defer func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.server != nil {
			shared.server.Close()
		}
	}()
	return m.Run()
}

// Shared returns the server of this process. It skips the test if FLAWLESS_TEST_WITHOUT has postgres. The package's
// TestMain must call [Main].
func Shared(t testing.TB) *Server {
	t.Helper()
	skip(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Open(nil)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Start starts a server for this test, with settings in addition to the usual ones.
func Start(t testing.TB, settings map[string]string) *Server {
	t.Helper()
	skip(t)
	s, err := Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func skip(t testing.TB) {
	t.Helper()
	if slices.Contains(strings.Fields(os.Getenv("FLAWLESS_TEST_WITHOUT")), "postgres") {
		t.Skip("postgres is left out by FLAWLESS_TEST_WITHOUT (make setup says how to get it)")
	}
}

// Server is a PostgreSQL server.
type Server struct {
	bin  string // directory of its programs
	Dir  string // its directory
	port int

	mu      sync.Mutex
	process *process // nil while it is stopped
	schemas atomic.Int64
}

// process is a program that was started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; after done
}

// find returns the directory with the programs.
func find() (string, error) {
	if dir := os.Getenv(programs); dir != "" {
		return dir, nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // as Debian has them
	more, _ := filepath.Glob("/usr/pgsql-*/bin/initdb")           // as RPMs of the project have them
	found = append(found, more...)
	if len(found) == 0 {
		return "", errMissing
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// Open starts a server outside of a test, with settings in addition to the usual ones. Close it.
func Open(settings map[string]string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, Dir: dir}
	if err := s.create(settings); err != nil {
		s.Close()
		return nil, fmt.Errorf("starting a PostgreSQL server in %s: %w", dir, err)
	}
	return s, nil
}

// create initialises and starts a new server.
func (s *Server) create(settings map[string]string) error {
	if err := own(s.Dir); err != nil {
		return err
	}
	if _, err := s.run("", "initdb", "--no-sync", "-A", "trust", "-U", Super, "-E", "UTF8", "--locale=C", "-D", s.data()); err != nil {
		return err
	}
	if err := s.configure(settings); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	var statements []string // each by itself: a database is not created in a transaction
	for _, user := range []string{User, WithPassword, OnlyTLS} {
		statements = append(statements, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", user, Password))
	}
	statements = append(statements, fmt.Sprintf("CREATE DATABASE %s OWNER %s", Database, User), fmt.Sprintf("GRANT ALL ON DATABASE %s TO %s, %s", Database, WithPassword, OnlyTLS))
	for _, statement := range statements {
		if _, err := s.Query("postgres", statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

// configure writes the configuration of a new server.
func (s *Server) configure(settings map[string]string) error {
	var err error
	if s.port, err = freePort(); err != nil {
		return err
	}
	all := map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(s.port), "unix_socket_directories": s.Dir, "max_connections": "300",
		"shared_buffers": "64MB", "fsync": "on", "ssl": "on", "ssl_cert_file": filepath.Join(s.Dir, "cert.pem"), "ssl_key_file": filepath.Join(s.Dir, "key.pem"),
		"log_min_messages": "warning", "restart_after_crash": "on",
	}
	maps.Copy(all, settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, all[name])
	}
	if err := writeCertificate(s.Dir); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = conf.WriteString(text.String())
	if err = errors.Join(err, conf.Close()); err != nil {
		return err
	}
	hba := fmt.Sprintf("local all all trust\nlocal replication all trust\nhost all %s,%s 127.0.0.1/32 trust\nhost all %s 127.0.0.1/32 scram-sha-256\nhostssl all %s 127.0.0.1/32 trust\n", Super, User, WithPassword, OnlyTLS)
	return os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(hba), 0o600)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start starts the server and waits until it accepts connections.
func (s *Server) start() error {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data()), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Dir = s.Dir
	p.cmd.SysProcAttr = unprivileged(true)
	begun := make(chan error)
	go func() {
		// A server ends when the thread ends that started it.
		runtime.LockOSThread()
		err := p.cmd.Start()
		begun <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-begun; err != nil {
		return err
	}
	s.process = p
	for began := time.Now(); ; {
		if _, err := s.Query("postgres", "SELECT 1"); err == nil {
			return nil
		} else if time.Since(began) > time.Minute {
			return fmt.Errorf("it does not accept connections: %w\n%s", err, s.Log())
		}
		select {
		case <-p.done:
			s.process = nil
			return fmt.Errorf("it has ended: %v\n%s", p.err, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) log() string { return filepath.Join(s.Dir, "log") }

// Log returns the log of the server.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.log())
	return string(b)
}

// Signals that stop a server.
const (
	Fast      = syscall.SIGINT  // closes connections and stops in order
	Immediate = syscall.SIGQUIT // as in a crash
)

// Stop stops the server with a signal.
func (s *Server) Stop(t testing.TB, how syscall.Signal) {
	t.Helper()
	s.Signal(how)
}

// Signal is Stop outside of a test.
func (s *Server) Signal(how syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(how)
}

func (s *Server) stop(how syscall.Signal) {
	if s.process != nil {
		_ = s.process.cmd.Process.Signal(how)
		<-s.process.done
		s.process = nil
	}
}

// StartAgain starts a server that was stopped.
func (s *Server) StartAgain(t testing.TB) {
	t.Helper()
	if err := s.Again(); err != nil {
		t.Fatal(err)
	}
}

// Again is StartAgain outside of a test. It does nothing if the server has not been stopped.
func (s *Server) Again() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	return s.start()
}

// Close stops the server and removes its directory.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(Immediate)
	_ = os.RemoveAll(s.Dir)
}

// Admit lets [User] connect from a network, such as 10.0.0.0/24.
func (s *Server) Admit(network string) error {
	hba, err := os.OpenFile(filepath.Join(s.data(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(hba, "host all %s %s trust\n", User, network)
	if err = errors.Join(err, hba.Close()); err != nil {
		return err
	}
	_, err = s.Query(Database, "SELECT pg_reload_conf()")
	return err
}

// Port returns the port of the server, on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// URL returns the address of the server for a user, without TLS.
func (s *Server) URL(user string) string { return s.URLAt(user, s.port) }

// URLAt returns the address for a user at another port of 127.0.0.1, such as that of a proxy.
func (s *Server) URLAt(user string, port int) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/" + Database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Schema returns a name of a schema that no other test has.
func (s *Server) Schema() string { return fmt.Sprintf("test_%d", s.schemas.Add(1)) }

// Exec executes SQL as [Super] in the database of the tests, and returns the values, one row a line.
func (s *Server) Exec(t testing.TB, sql string) string {
	t.Helper()
	out, err := s.Query(Database, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// Set changes a setting of the whole server, and waits until new connections have it; "" sets it to its default.
func (s *Server) Set(t testing.TB, name, value string) {
	t.Helper()
	sql := fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value)
	if value == "" {
		sql = "ALTER SYSTEM RESET " + name
	}
	s.Exec(t, sql)
	s.Exec(t, "SELECT pg_reload_conf()")
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if got := s.Exec(t, "SHOW "+name); got == value || value == "" {
			return
		}
	}
	t.Fatalf("%s does not become %q", name, value)
}

// Query executes statements as [Super], and returns the values of the last one: a row a line, with | between its values.
func (s *Server) Query(database, statements string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%d user=%s database=%s sslmode=disable", s.Dir, s.port, Super, database))
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(ctx) }()
	results, err := c.Exec(ctx, statements).ReadAll()
	if err != nil || len(results) == 0 {
		return "", err
	}
	var lines []string
	for _, row := range results[len(results)-1].Rows {
		lines = append(lines, string(bytes.Join(row, []byte("|"))))
	}
	return strings.Join(lines, "\n"), nil
}

// Run runs a program of PostgreSQL as the user of the server, and returns what it prints.
func (s *Server) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := s.run("", name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Needs skips a test that needs a program which not all packages of PostgreSQL have; those of npm only have the server.
func (s *Server) Needs(t testing.TB, program string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(s.bin, program)); err != nil {
		t.Skipf("this PostgreSQL comes without %s: %v", program, err)
	}
}

// Background runs a program of PostgreSQL as the user of the server until the test ends.
func (s *Server) Background(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := s.command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.Dir
	cmd.SysProcAttr = unprivileged(false)
	return cmd
}

func (s *Server) run(stdin, name string, args ...string) (string, error) {
	cmd := s.command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// WaitReady waits until the server accepts connections, after a crash of which it recovers by itself.
func (s *Server) WaitReady(t testing.TB) {
	t.Helper()
	for began := time.Now(); ; {
		_, err := s.Query("postgres", "SELECT 1")
		if err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("the server does not come back: %v\n%s", err, s.Log())
		}
		<-time.After(20 * time.Millisecond)
	}
}
