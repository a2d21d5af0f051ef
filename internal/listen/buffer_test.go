package listen

import (
	"bytes"
	"log/slog"
	"math"
	"net"
	"strings"
	"testing"
)

// TestSmallBufferIsLogged: the server runs with what the system allows.
func TestSmallBufferIsLogged(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		wanted int
		logged bool
	}{"what every system allows": {4 << 10, false}, "more than any allows": {math.MaxInt32, true}} {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var out bytes.Buffer
		size := widen(c, row.wanted, slog.New(slog.NewTextHandler(&out, nil)))
		if logged := strings.Contains(out.String(), "the UDP buffer is limited by the system"); size > 0 && logged != row.logged {
			t.Errorf("%s: the buffer has %d bytes, and the log is %q", name, size, out.String())
		}
	}
}
