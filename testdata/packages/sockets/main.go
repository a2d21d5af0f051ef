// Sockets uses what cannot run in a workflow, and collects what it says.
package main

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"packages/table"
)

func main() { table.Try(all) }

// all is what cannot run in a workflow; each returns the error that says so.
var all = map[string]func(context.Context) error{
	"net.Dial":       func(context.Context) error { return dialed(net.Dial("tcp", "db.example:5432")) },
	"net.Listen":     func(context.Context) error { _, err := net.Listen("tcp", ":8080"); return refused(err) },
	"net.LookupHost": func(context.Context) error { _, err := net.LookupHost("db.example"); return refused(err) },
	"net/smtp": func(context.Context) error {
		return refused(smtp.SendMail("mail.example:25", nil, "a@mail.example", []string{"b@mail.example"}, nil))
	},
	"os.ReadFile":                    func(context.Context) error { _, err := os.ReadFile("/etc/hosts"); return refused(err) },
	"os.WriteFile":                   func(context.Context) error { return refused(os.WriteFile("/tmp/a", nil, 0o600)) },
	"os/exec":                        func(context.Context) error { return refused(exec.Command("/bin/true").Run()) },
	"github.com/jackc/pgx/v5":        database("pgx", "postgres://ann@db.example/shop?sslmode=disable"),
	"github.com/lib/pq":              database("postgres", "postgres://ann@db.example/shop?sslmode=disable"),
	"github.com/go-sql-driver/mysql": database("mysql", "ann@tcp(db.example)/shop"),
	"github.com/redis/go-redis/v9": func(ctx context.Context) error {
		c := redis.NewClient(&redis.Options{Addr: "cache.example:6379", MaxRetries: -1})
		defer c.Close()
		return refused(c.Ping(ctx).Err())
	},
	"github.com/segmentio/kafka-go": func(ctx context.Context) error {
		_, err := kafka.DialContext(ctx, "tcp", "kafka.example:9092")
		return refused(err)
	},
	"github.com/nats-io/nats.go": func(context.Context) error {
		_, err := nats.Connect("nats://nats.example", nats.NoReconnect())
		return refused(err)
	},
	"google.golang.org/grpc": func(ctx context.Context) error {
		c, err := grpc.NewClient("passthrough:///stock.example:443", grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return refused(c.Invoke(ctx, "/stock.Stock/Get", nil, nil))
	},
}

func database(driver, source string) func(context.Context) error {
	return func(ctx context.Context) error {
		db, err := sql.Open(driver, source)
		if err != nil {
			return err
		}
		defer db.Close()
		return refused(db.PingContext(ctx))
	}
}

func dialed(c net.Conn, err error) error {
	if err == nil {
		_ = c.Close()
	}
	return refused(err)
}

// refused returns the error that must have come.
func refused(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}
