package pgtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Standby starts an asynchronous standby of the server for this test.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	// The programs from npm, which other versions of PostgreSQL are tested with, are the server alone.
	if _, err := os.Stat(filepath.Join(s.bin, "pg_basebackup")); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("left out: there is no pg_basebackup in %s", s.bin)
	}
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	b := &Server{bin: s.bin, Dir: dir}
	t.Cleanup(b.Close)
	if err := b.follow(s); err != nil {
		t.Fatalf("starting a standby in %s: %v", dir, err)
	}
	return b
}

// follow copies the data of another server, and starts as its standby.
func (s *Server) follow(primary *Server) error {
	err := errors.Join(own(s.Dir), writeCertificate(s.Dir))
	if err != nil {
		return err
	}
	if _, err := s.run("", "pg_basebackup", "-R", "-c", "fast", "--no-sync", "-h", primary.Dir, "-p", fmt.Sprint(primary.port), "-U", Super, "-D", s.data()); err != nil {
		return err
	}
	if s.port, err = freePort(); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, "port = '%d'\nunix_socket_directories = '%s'\nssl_cert_file = '%[2]s/cert.pem'\nssl_key_file = '%[2]s/key.pem'\n", s.port, s.Dir)
	if err = errors.Join(err, conf.Close()); err != nil {
		return err
	}
	return s.start()
}

// Unfollow makes a standby receive nothing more from its primary.
func (s *Server) Unfollow(t testing.TB) {
	t.Helper()
	s.Set(t, "primary_conninfo", "host=/nowhere")
	for began := time.Now(); s.Exec(t, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") != "0"; {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the standby goes on to receive")
		}
	}
}

// Promote makes a standby the primary.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if got := s.Exec(t, "SELECT pg_promote()"); got != "t" {
		t.Fatalf("the standby was not promoted: %s", got)
	}
}
