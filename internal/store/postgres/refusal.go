package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flawless-engine/flawless"
)

// Lost is the error after the database has lost writes that it had acknowledged.
const Lost flawless.Code = "the database lost acknowledged writes"

// SQLSTATEs, see appendix A of PostgreSQL's manual.
const (
	uniqueViolation      = "23505"
	readOnlyTransaction  = "25006"
	transactionTimeout   = "25P04"
	wrongUser            = "28000"
	wrongPassword        = "28P01"
	noSuchDatabase       = "3D000"
	serializationFailure = "40001"
	completionUnknown    = "40003"
	deadlockDetected     = "40P01"
	noPrivilege          = "42501"
	duplicateSchema      = "42P06"
	duplicateTable       = "42P07"
	duplicateObject      = "42710" // the type of rows of a table that is being created
	noSuchTable          = "42P01"
	noSuchSchema         = "3F000"
	diskFull             = "53100"
	tooManyConnections   = "53300"
	limitExceeded        = "54000"
	objectInUse          = "55006"
	lockNotAvailable     = "55P03"
	queryCancelled       = "57014"
	cannotConnectNow     = "57P03"
	resolutionUnknown    = "08007"
)

// reason returns the message of an error without what pgx puts around it.
func reason(err error) string {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.Error()
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		_, text, _ := strings.Cut(parse.Error(), "`: ")
		return text
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return reason(connect.Unwrap())
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Error()
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	case errors.Is(err, context.DeadlineExceeded):
		return "it does not answer"
	}
	return strings.ReplaceAll(strings.TrimPrefix(err.Error(), "failed to "), "\n", "; ")
}

// refusal says why a server is not used, and what to do. It is the same at every attempt, until somebody changes
// something.
type refusal struct {
	code flawless.Code
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.code }

func refuse(code flawless.Code, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// explain returns what an error means that occurred when a connection was made, and what to do about it. The result
// wraps a code if another attempt is useless.
func explain(err error, c *pgx.ConnConfig) error {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return refused
	case flawless.CodeOf(err) != "", errors.Is(err, Lost):
		return err
	}
	host := c.Host
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if strings.Contains(err.Error(), "server refused TLS connection") {
			return refuse(flawless.Invalid, "the server at %s does not offer TLS, which sslmode asks for: configure ssl=on there, or connect with sslmode=disable over a network that you trust", host)
		}
		if strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ") {
			return refuse(flawless.Invalid, "no TLS connection to %s: %s: give the server's certificate authority with sslrootcert", host, reason(err))
		}
		return fmt.Errorf("connecting to %s: %s: check that PostgreSQL runs there, and that its address is right", host, reason(err))
	}
	switch pg.Code {
	case wrongPassword:
		return refuse(flawless.Invalid, "the password for user %s is wrong, or there is none: give it in $PGPASSWORD or ~/.pgpass: %s", c.User, pg.Message)
	case wrongUser:
		if strings.Contains(pg.Message, "pg_hba.conf") && c.TLSConfig == nil {
			return refuse(flawless.Invalid, "the server does not accept user %s on this connection, which is not encrypted: connect with sslmode=require or sslmode=verify-full, or let it in by pg_hba.conf: %s", c.User, pg.Message)
		}
		return refuse(flawless.Invalid, "the server does not accept user %s: %s: create the role, or let it in by pg_hba.conf", c.User, pg.Message)
	case noSuchDatabase:
		return refuse(flawless.Invalid, "%s: create it with: createdb %s", pg.Message, c.Database)
	case noPrivilege:
		return refuse(flawless.Invalid, "user %s lacks a right: %s", c.User, pg.Message)
	case tooManyConnections:
		return fmt.Errorf("the server has no connection left for user %s: raise max_connections, or the limit of the role or of the database: %s", c.User, pg.Message)
	case cannotConnectNow:
		return fmt.Errorf("the server is not ready: %s", pg.Message)
	}
	return fmt.Errorf("connecting to %s: %s", host, reason(err))
}

// kind is what an error of a statement means for the statement.
type kind int

const (
	unknown   kind = iota // it may have taken effect, or will
	transient             // it has not, and may if it is repeated
	noSpace               // it has not, because there is no space
	elsewhere             // it has not, and cannot on this server: it does not accept writes
	refused               // it has not, and will not
)

// classify returns the kind of an error. An error that the server reports for a statement has undone it. After any
// other one, and if the server closes the connection with it, nobody knows.
func classify(err error) kind {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return unknown
	}
	severity := pg.SeverityUnlocalized
	if severity == "" { // a server that is none of PostgreSQL's own
		severity = pg.Severity
	}
	if severity != "ERROR" {
		return unknown
	}
	switch pg.Code {
	case completionUnknown, resolutionUnknown:
		return unknown
	case serializationFailure, deadlockDetected, lockNotAvailable, uniqueViolation, queryCancelled, tooManyConnections, cannotConnectNow, objectInUse:
		return transient
	case diskFull:
		return noSpace
	case readOnlyTransaction:
		return elsewhere
	}
	if strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "40") {
		return transient
	}
	return refused
}
