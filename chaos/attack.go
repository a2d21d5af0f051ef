//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// attack is what is done to a node, or to the database. It returns when the node works again, or an error if it does not.
type attack struct {
	name string
	do   func(ctx context.Context, c *chaos, m *member) error
}

var attacks = []attack{
	{"kill", kill},
	{"stop", stop},
	{"restart", restart},
	{"terminate", terminate},
	{"crash of the database", crash},
}

// cuts are attacks on the wire of a node.
var cuts = []attack{
	{"cut", cut},
	{"reset", reset},
}

// kill kills a node and starts it again, at once or after others have taken over.
func kill(ctx context.Context, c *chaos, m *member) error {
	m.Kill()
	if err := c.wait(ctx, 0, 2**lease); err != nil {
		return err
	}
	return m.Start(ctx)
}

// stop stops a process for longer than its lease, and lets it go on as if nothing had happened.
func stop(ctx context.Context, c *chaos, m *member) error {
	if err := m.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := c.wait(ctx, *lease, 2**lease)
	if cont := m.Signal(syscall.SIGCONT); cont != nil {
		return cont
	}
	if err != nil {
		return err
	}
	return c.answers(ctx, m)
}

// restart stops a node in order, which moves its runs to others, and starts it again.
func restart(ctx context.Context, c *chaos, m *member) error {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := m.Stop(limited); err != nil {
		return err
	}
	return m.Start(ctx)
}

// cut cuts a node off from the database, but not from the outside and from other nodes.
func cut(ctx context.Context, c *chaos, m *member) error {
	m.wire.cut()
	err := c.wait(ctx, 100*time.Millisecond, 2**lease)
	m.wire.mend(false)
	if err != nil {
		return err
	}
	return c.answers(ctx, m)
}

// reset breaks the connections of a node to the database while writes are under way.
func reset(ctx context.Context, c *chaos, m *member) error {
	m.wire.cut()
	err := c.wait(ctx, 0, 300*time.Millisecond)
	m.wire.mend(true)
	if err != nil {
		return err
	}
	return c.answers(ctx, m)
}

// terminate ends all connections in the database.
func terminate(ctx context.Context, c *chaos, m *member) error {
	_, err := c.postgres.Query(pgtest.Database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+pgtest.User+"'")
	if err != nil && !strings.Contains(err.Error(), "connect") {
		return err
	}
	return c.answers(ctx, m)
}

// crash lets the database crash, and starts it again.
func crash(ctx context.Context, c *chaos, m *member) error {
	c.postgres.Signal(pgtest.Immediate)
	if err := c.wait(ctx, 0, *lease); err != nil {
		return err
	}
	if err := c.postgres.Again(); err != nil {
		return err
	}
	return c.answers(ctx, m)
}

// wait waits for a time between two.
func (c *chaos) wait(ctx context.Context, from, to time.Duration) error {
	select {
	case <-time.After(time.Duration(c.n(int(from), int(to)))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answers waits until a node answers a request that reads the database. If its process has ended, for instance because it was
// called dead, it is started again, as a supervisor does.
func (c *chaos) answers(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		brief, done := context.WithTimeout(ctx, 5*time.Second)
		_, err := m.Client().Modules(brief)
		done()
		if err == nil {
			return nil
		}
		if m.Ended() {
			if err := m.Start(ctx); err != nil {
				return err
			}
			continue
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("it does not answer any more: %w", err)
		}
	}
}
