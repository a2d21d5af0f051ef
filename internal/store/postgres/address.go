package postgres

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flawless-engine/flawless"
)

// DefaultSchema is the schema of the tables, unless another one is given.
const DefaultSchema = "flawless"

// Is reports whether a --store is an address of PostgreSQL.
func Is(store string) bool {
	return strings.HasPrefix(store, "postgres://") || strings.HasPrefix(store, "postgresql://")
}

// how says how an address is written.
const how = "write postgres://USER@HOST:PORT/DATABASE, escape special characters as in any URL, and give the password in $PGPASSWORD or ~/.pgpass"

// pooler is the parameter of an address that names a pooler between here and the server, and pgBouncer the only value.
const pooler, pgBouncer = "pool", "pgbouncer"

// parse reads an address, and reports whether connections come from a pooler that hands a connection to the server out
// for one transaction. What is missing comes from the environment ($PGHOST, $PGPASSWORD, …), ~/.pgpass and service
// files. Errors contain no part of the address, because a wrong one may have its password in any place.
func parse(address string) (config *pgxpool.Config, pooled bool, err error) {
	if !Is(address) {
		return nil, false, fmt.Errorf("the address of the database does not begin with postgres://; %s: %w", how, flawless.Invalid)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, false, fmt.Errorf("the address of the database is not a valid URL; %s: %w", how, flawless.Invalid)
	}
	if query := u.Query(); query.Has(pooler) {
		if query.Get(pooler) != pgBouncer || len(query[pooler]) != 1 {
			return nil, false, fmt.Errorf("the address of the database has an unknown %[1]s: write %[1]s=%[2]s if PgBouncer is between the server and the database, and nothing otherwise: %[3]w", pooler, pgBouncer, flawless.Invalid)
		}
		query.Del(pooler)
		u.RawQuery, pooled = query.Encode(), true
		address = u.String()
	}
	config, err = pgxpool.ParseConfig(address)
	if err != nil {
		why := reason(err)
		if password, has := u.User.Password(); has && password != "" && strings.Contains(why, password) || u.Query().Has("password") {
			why = "it has a wrong part"
		}
		return nil, false, fmt.Errorf("the address of the database cannot be used: %s; %s: %w", why, how, flawless.Invalid)
	}
	return config, pooled, nil
}

// where names a database for people, without credentials.
func where(config *pgx.ConnConfig, schema string) string {
	host := config.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	return fmt.Sprintf("database %s on %s, schema %s", config.Database, host, schema)
}
