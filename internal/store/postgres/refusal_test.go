package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// logged collects a log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// expectRefusal checks that Open returns an error with a code and texts, quickly.
func expectRefusal(t *testing.T, url, schema string, want flawless.Code, texts ...string) {
	t.Helper()
	db, err := Open(t.Context(), url, Options{Schema: schema, Wait: -1})
	if err == nil {
		db.Close()
		t.Errorf("it is opened; want an error with %q", texts)
		return
	}
	if got := flawless.CodeOf(err); got != want {
		t.Errorf("code %q, want %q: %v", got, want, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not have %q: %v", text, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), pgtest.Password) {
		t.Errorf("the error has the password: %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %v", err)
	}
}

func TestUnsafeSettingsAreRefused(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	for _, row := range []struct{ name, value string }{
		{"fsync", "off"},
		{"full_page_writes", "off"},
		{"synchronous_commit", "off"},
		{"default_transaction_read_only", "on"},
	} {
		s.Set(t, row.name, row.value)
		expectRefusal(t, s.URL(pgtest.User), "x", flawless.Invalid, row.name, "set "+row.name+"=")
		s.Set(t, row.name, "")
	}
	s.Exec(t, "ALTER ROLE tester SET synchronous_commit = off")
	expectRefusal(t, s.URL(pgtest.User), "x", flawless.Invalid, "synchronous_commit")
	s.Exec(t, "ALTER ROLE tester RESET synchronous_commit")

	// A setting that changes while the database is open is found in the result of the next statement, which waits.
	log := &logged{}
	db := openAt(t, s.URL(pgtest.User), "x", Options{Lanes: 1, Log: slog.New(slog.NewTextHandler(log, nil))})
	closing(t, db)
	apply(t, db, set(item("a", "1")))
	for _, name := range []string{"fsync", "synchronous_commit"} {
		s.Set(t, name, "off")
		done := make(chan error, 1)
		go func() { done <- db.Apply(context.Background(), set(item("a", "with "+name+" off"))) }()
		for began := time.Now(); !strings.Contains(log.String(), name+" is off"); {
			if time.Since(began) > 20*time.Second {
				t.Fatalf("nothing is logged about %s: %s", name, log)
			}
			<-time.After(5 * time.Millisecond)
		}
		select {
		case err := <-done:
			t.Errorf("with %s off a batch was answered: %v", name, err)
		default:
		}
		s.Set(t, name, "")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := value(t, db, "a"); got != "with "+name+" off" {
			t.Errorf("after %s is on again it is %q", name, got)
		}
	}
}

func TestStandbysAreRefused(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	s.Stop(t, pgtest.Fast)
	if err := os.WriteFile(filepath.Join(s.Dir, "data", "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.StartAgain(t)
	expectRefusal(t, s.URL(pgtest.User), "x", flawless.Invalid, "standby", "pg_is_in_recovery", "address of the primary")

	// Of several servers, the primary is found.
	primary := pgtest.Shared(t)
	url := fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/%s?sslmode=disable", pgtest.User, s.Port(), primary.Port(), pgtest.Database)
	db := openAt(t, url, primary.Schema(), Options{})
	closing(t, db)
	apply(t, db, set(item("a", "1")))
}

func TestConnectionsThatFailAreExplained(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, map[string]string{"max_connections": "5", "superuser_reserved_connections": "1"})
	with := func(change func(url string) string) string { return change(s.URL(pgtest.User)) }
	for _, row := range []struct {
		name, url string
		code      flawless.Code
		texts     []string
	}{
		{"no password", s.URL(pgtest.WithPassword), flawless.Invalid, []string{"password", "$PGPASSWORD", "~/.pgpass"}},
		{"wrong password", strings.Replace(s.URL(pgtest.WithPassword), "@", ":hunter2@", 1), flawless.Invalid, []string{"password for user withpassword is wrong"}},
		{"no such user", s.URL("nobody_at_all"), flawless.Invalid, []string{"nobody_at_all", "pg_hba.conf"}},
		{"no such database", with(func(u string) string { return strings.Replace(u, "/test?", "/missing?", 1) }), flawless.Invalid, []string{"missing", "createdb missing"}},
		{"TLS is required", s.URL(pgtest.OnlyTLS), flawless.Invalid, []string{"not encrypted", "sslmode=require"}},
		{"unknown certificate", strings.Replace(s.URL(pgtest.OnlyTLS), "sslmode=disable", "sslmode=verify-full", 1), flawless.Invalid, []string{"certificate", "sslrootcert"}},
		{"nothing listens", "postgres://tester@127.0.0.1:1/test", "", []string{"127.0.0.1", "check that PostgreSQL runs there"}},
		{"no such host", "postgres://tester@no-such-host.invalid/test", "", []string{"no-such-host.invalid"}},
		{"not a URL", "postgres://tester:hunter2@[::1/test", flawless.Invalid, []string{"postgres://USER@HOST", "$PGPASSWORD"}},
		{"a password that is not escaped", "postgres://tester:hunter2#x@127.0.0.1/test", flawless.Invalid, []string{"escape special characters"}},
		{"a wrong parameter", "postgres://tester:hunter2@127.0.0.1/test?sslmode=hunter2", flawless.Invalid, []string{"sslmode is invalid"}},
		{"another scheme", "mysql://tester:hunter2@127.0.0.1/test", flawless.Invalid, []string{"postgres://"}},
	} {
		t.Run(row.name, func(t *testing.T) { expectRefusal(t, row.url, "x", row.code, row.texts...) })
	}
	t.Run("too few connections", func(t *testing.T) {
		first := openAt(t, s.URL(pgtest.User), "x", Options{})
		defer first.Close()
		expectRefusal(t, s.URL(pgtest.User), "x", "", "no connection left", "max_connections")
	})
}

func TestRightsAndFormatsAreChecked(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	s.Exec(t, "REVOKE CREATE ON DATABASE test FROM PUBLIC; CREATE ROLE stranger LOGIN; GRANT stranger TO tester")
	s.Exec(t, "CREATE DATABASE other")
	s.Exec(t, "ALTER ROLE withpassword PASSWORD NULL")
	url := strings.Replace(s.URL(pgtest.User), "/test?", "/other?", 1)
	expectRefusal(t, url, "mine", flawless.Invalid, `may not create the schema "mine"`, `CREATE SCHEMA "mine" AUTHORIZATION "tester"`)

	db := openAt(t, s.URL(pgtest.User), "formats", Options{})
	apply(t, db, set(item("a", "1")))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "UPDATE formats.meta SET value = '2' WHERE name = 'format'")
	expectRefusal(t, s.URL(pgtest.User), "formats", flawless.Conflict, "has format 2", "formats up to 1", "use a newer version")
	s.Exec(t, "UPDATE formats.meta SET value = '1' WHERE name = 'format'")
	s.Exec(t, "ALTER SCHEMA formats OWNER TO postgres; REVOKE ALL ON SCHEMA formats FROM tester")
	expectRefusal(t, s.URL(pgtest.User), "formats", flawless.Invalid, "lacks a right")

	s.Exec(t, "CREATE SCHEMA foreigner AUTHORIZATION tester; CREATE TABLE foreigner.records (id int)")
	expectRefusal(t, s.URL(pgtest.User), "foreigner", flawless.Invalid, "not from flawless", "--store-schema")
}

func TestOldServersAreRefused(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"120017": "the server is PostgreSQL 12: upgrade it to version 13 or later", "90624": "PostgreSQL 9", "130000": "", "180001": ""} {
		err := checkServer([]string{version, "f", "off", "", "on", "on", "on"})
		if want == "" && err != nil || want != "" && (!errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("version %s: %v, want %q", version, err, want)
		}
	}
}

// TestLongestKeysFit writes a run whose names are as long as they may be, in bytes that keys escape where they may.
func TestLongestKeysFit(t *testing.T) {
	t.Parallel()
	db := open(t, Options{})
	closing(t, db)
	s, err := store.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	h := store.Head{Run: flawless.Run{ID: long(flawless.MaxID), Parent: strings.Repeat("y", flawless.MaxID), Module: long(flawless.MaxName), Workflow: long(flawless.MaxWorkflowName), Status: flawless.Pending, Created: time.Now(),
		Labels: map[string]string{long(flawless.MaxLabelName): strings.Repeat("\x00", flawless.MaxLabelValue)}}, Active: true, Wake: 1}
	if err := s.Write(t.Context(), l, store.Write{ID: h.Run.ID, New: true, Keyed: true, After: &h}); err != nil {
		t.Error(err)
	}
	if err := s.PutState(t.Context(), l, strings.Repeat("\x00", flawless.MaxStateName), store.State{Value: []byte("1")}); err != nil {
		t.Error(err)
	}
	// Keys of any bytes fit up to the limit, whatever they compress to.
	key := make([]byte, maxKey)
	for i := range key {
		key[i] = byte(i * i * 31)
	}
	for first := range 3 {
		key[0] = "xrb"[first]
		apply(t, db, set(store.Item{Key: key, Value: []byte("v")}))
		if err := db.Apply(t.Context(), set(store.Item{Key: append(key, 0), Value: []byte("v")})); !errors.Is(err, flawless.TooLarge) {
			t.Errorf("a key that is too long: %v", err)
		}
	}
}

// TestManyServersCreateTheTables opens new tables several times at once.
func TestManyServersCreateTheTables(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	schema := s.Schema()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			db, err := Open(t.Context(), s.URL(pgtest.User), Options{Schema: schema})
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestNoSpaceIsReported has the server run out of disk space.
func TestNoSpaceIsReported(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	schema := s.Schema()
	db := openAt(t, s.URL(pgtest.User), schema, Options{})
	closing(t, db)
	apply(t, db, set(item("a", "1")))
	s.Exec(t, fmt.Sprintf(`CREATE FUNCTION %[1]s.no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
		CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON %[1]s.rows EXECUTE FUNCTION %[1]s.no_space()`, schema))
	err := db.Apply(t.Context(), set(item("a", "2"), item("r", "2")))
	if !errors.Is(err, flawless.Full) {
		t.Errorf("it is %v, want %v", err, flawless.Full)
	}
	if full, why := db.Full(); !full || !strings.Contains(why, "disk space") {
		t.Errorf("full: %v, %q", full, why)
	}
	if a, r := value(t, db, "a"), value(t, db, "r"); a != "1" || r != "-" {
		t.Errorf("after it, a is %q and r is %q", a, r)
	}
	s.Exec(t, fmt.Sprintf("DROP TRIGGER no_space ON %s.rows", schema))
	apply(t, db, set(item("a", "3")))
	if full, why := db.Full(); full {
		t.Errorf("it is still full after a write: %s", why)
	}
}

// TestOneBatchDoesNotFailOthers has the server refuse one of many batches that arrive together.
func TestOneBatchDoesNotFailOthers(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	schema := s.Schema()
	db := openAt(t, s.URL(pgtest.User), schema, Options{Lanes: 1})
	closing(t, db)
	s.Exec(t, fmt.Sprintf(`CREATE FUNCTION %[1]s.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.v = 'bad' THEN RAISE 'not this one'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON %[1]s.rows FOR EACH ROW EXECUTE FUNCTION %[1]s.refuse()`, schema))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			v := "good"
			if i%50 == 7 {
				v = "bad"
			}
			if err := db.Apply(t.Context(), set(item(fmt.Sprint("key ", i), v))); (err != nil) != (v == "bad") || err != nil && !strings.Contains(err.Error(), "not this one") {
				t.Errorf("batch %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if err := db.Failed(); err != nil {
		t.Error(err)
	}
}

// TestCommitWithoutStandbyIsAskedFor cancels the wait of a commit for its synchronous standby.
func TestCommitWithoutStandbyIsAskedFor(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	db := openAt(t, s.URL(pgtest.User), "x", Options{Lanes: 1})
	closing(t, db)
	apply(t, db, set(item("a", "1")))
	s.Set(t, "synchronous_standby_names", "somebody")
	done := make(chan error, 1)
	go func() { done <- db.Apply(context.Background(), set(item("a", "2"))) }()
	waiting := func(query string) string {
		for began := time.Now(); time.Since(began) < 20*time.Second; {
			if pid := s.Exec(t, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND "+query); pid != "" {
				return pid
			}
		}
		t.Fatal("no commit waits for the standby")
		return ""
	}
	cancelled := "0"
	for range 3 { // after the first time, the lane asks what has happened, and has to wait for the standby, too
		pid := waiting("pid NOT IN (" + cancelled + ")")
		s.Exec(t, "SELECT pg_cancel_backend("+pid+")")
		cancelled += ", " + pid
	}
	waiting("pid NOT IN (" + cancelled + ")")
	select {
	case err := <-done:
		t.Fatalf("a commit that is not on the standby was acknowledged: %v", err)
	default:
	}
	s.Set(t, "synchronous_standby_names", "")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := value(t, db, "a"); got != "2" {
		t.Errorf("it is %q", got)
	}
}

// TestAsynchronousStandbysAreWarnedOf has a standby that no commit waits for.
func TestAsynchronousStandbysAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	text := func() string {
		log := &logged{}
		db := openAt(t, s.URL(pgtest.User), "x", Options{Log: slog.New(slog.NewTextHandler(log, nil))})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	if got := text(); got != "" {
		t.Errorf("without a standby it logs %s", got)
	}
	s.Needs(t, "pg_receivewal")
	s.Background(t, "pg_receivewal", "-D", s.Dir, "-h", s.Dir, "-p", itoa(s.Port()), "-U", pgtest.Super)
	for s.Exec(t, "SELECT count(*) FROM pg_stat_replication") == "0" {
	}
	if got := text(); !strings.Contains(got, "asynchronous") || !strings.Contains(got, "synchronous_standby_names") {
		t.Errorf("with an asynchronous standby it logs %q", got)
	}
}

// TestLostWritesAreNoticed restores an older copy of the database while the server runs.
func TestLostWritesAreNoticed(t *testing.T) {
	t.Parallel()
	for _, row := range []string{"a batch follows", "a read follows"} {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			s := pgtest.Start(t, nil)
			db := openAt(t, s.URL(pgtest.User), "x", Options{})
			closing(t, db)
			apply(t, db, set(item("a", "1")))
			s.Stop(t, pgtest.Fast)
			data, backup := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "backup")
			copyDir(t, data, backup)
			s.StartAgain(t)
			for i := range 5 {
				apply(t, db, set(item("a", "new "+itoa(i))))
			}
			s.Stop(t, pgtest.Fast)
			if err := os.RemoveAll(data); err != nil {
				t.Fatal(err)
			}
			copyDir(t, backup, data)
			s.StartAgain(t)
			var err error
			if row == "a read follows" {
				_, err = db.Get(t.Context(), []byte("a"))
			} else {
				err = db.Apply(t.Context(), set(item("b", "1")))
			}
			if !errors.Is(err, Lost) || !strings.Contains(err.Error(), "acknowledged") {
				t.Errorf("it is %v", err)
			}
			if !errors.Is(db.Failed(), Lost) {
				t.Errorf("the database has not failed: %v", db.Failed())
			}
			if err := db.Apply(t.Context(), set(item("b", "1"))); !errors.Is(err, Lost) {
				t.Errorf("later it is %v", err)
			}
			if n := s.Exec(t, "SELECT count(*) FROM x.rows WHERE k = 'b'"); n != "0" {
				t.Error("it has written to the older database")
			}
			// The next server learns of it.
			next := openAt(t, s.URL(pgtest.User), "x", Options{})
			apply(t, next, set(item("b", "1")))
			losses, err := next.Losses(t.Context())
			if err != nil || len(losses) != 1 || losses[0].Own || !losses[0].Older || !strings.Contains(losses[0].Why, "acknowledged") {
				t.Errorf("the next server knows of %+v, %v", losses, err)
			}
			if err := next.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestCloseEndsWaiting closes a database whose server is away.
func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	db := openAt(t, s.URL(pgtest.User), "x", Options{grace: 100 * time.Millisecond})
	apply(t, db, set(item("a", "1")))
	s.Stop(t, pgtest.Immediate)
	results := make(chan error, 3)
	for i := range 2 {
		go func() { results <- db.Apply(context.Background(), set(item(itoa(i), "1"))) }()
	}
	go func() { _, err := db.Get(context.Background(), []byte("a")); results <- err }()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := db.Apply(ctx, set(item("late", "1"))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a batch whose context ends: %v", err)
	}
	if _, err := db.Get(ctx, []byte("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read whose context ends: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := <-results; err == nil || errors.Is(err, flawless.Fenced) || errors.Is(err, flawless.Full) {
			t.Errorf("after Close: %v", err)
		}
	}
}

var _ store.KV = (*DB)(nil)
