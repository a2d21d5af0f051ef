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

// parse reads an address. What is missing comes from the environment ($PGHOST, $PGPASSWORD, …), ~/.pgpass and service
// files. Errors contain no part of the address, because a wrong one may have its password in any place.
func parse(address string) (*pgxpool.Config, error) {
	if !Is(address) {
		return nil, fmt.Errorf("the address of the database does not begin with postgres://; %s: %w", how, flawless.Invalid)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address of the database is not a valid URL; %s: %w", how, flawless.Invalid)
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		why := reason(err)
		if password, has := u.User.Password(); has && password != "" && strings.Contains(why, password) || u.Query().Has("password") {
			why = "it has a wrong part"
		}
		return nil, fmt.Errorf("the address of the database cannot be used: %s; %s: %w", why, how, flawless.Invalid)
	}
	return config, nil
}

// where names a database for people, without credentials.
func where(config *pgx.ConnConfig, schema string) string {
	host := config.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	return fmt.Sprintf("database %s on %s, schema %s", config.Database, host, schema)
}
