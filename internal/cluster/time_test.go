package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTimeFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c Time
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, nil))
		observe := func(ahead, way time.Duration, want time.Duration, warnings int) {
			t.Helper()
			asked := time.Now()
			<-time.After(way)
			c.Observe(asked, time.Now(), asked.Add(way/2+ahead), log)
			if got := time.Until(c.Now()); got != want {
				t.Errorf("with a database that is ahead by %v, it is ahead by %v, want %v", ahead, got, want)
			}
			if n := strings.Count(said.String(), "WARN"); n != warnings {
				t.Errorf("it warned %d times, want %d: %s", n, warnings, &said)
			}
		}
		observe(0, 0, 0, 0)
		observe(50*time.Millisecond, 0, 0, 0) // may come from the way
		observe(500*time.Millisecond, time.Second, 0, 0)
		observe(500*time.Millisecond, 0, 500*time.Millisecond, 0)
		observe(time.Minute, time.Millisecond, time.Minute, 1)
		observe(time.Minute, time.Millisecond, time.Minute, 1)

		before := c.Now()
		asked := time.Now()
		c.Observe(asked, asked, asked, log)
		if now := c.Now(); now.Before(before) {
			t.Errorf("it went back by %v", before.Sub(now))
		}
		<-time.After(2 * time.Minute)
		observe(0, 0, 0, 1)
		observe(-time.Minute, 0, time.Until(c.Now()), 2)
	})
}
