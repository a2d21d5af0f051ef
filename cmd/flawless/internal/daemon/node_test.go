package daemon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/cluster"
)

// TestRunCannotCallOtherNodes: runs reach no node that lives, whatever its address is called, and everything else.
func TestRunCannotCallOtherNodes(t *testing.T) {
	t.Parallel()
	n := &node{view: cluster.View{Living: []flawless.Node{
		{ID: "1", Name: "a", API: []string{"192.0.2.1:27288"}},
		{ID: "2", Name: "b", API: []string{"192.0.2.2:27288", "[2001:db8::2]:27288", "[fe80::1]:27288"}},
		{ID: "3", Name: "old"},
	}}}
	for to, blocked := range map[string]bool{
		"192.0.2.2:27288": true, "[::ffff:192.0.2.2]:27288": true, "[2001:db8::2]:27288": true, "[fe80::1%eth0]:27288": true, "192.0.2.1:27288": true,
		"192.0.2.2:27289": false, "192.0.2.3:27288": false, "127.0.0.1:27288": false,
	} {
		err := n.notNode("some.example", netip.MustParseAddrPort(to))
		if blocked != (err != nil) || blocked && !strings.Contains(err.Error(), "--allow-self-calls") {
			t.Errorf("%s: %v, want it blocked: %v", to, err, blocked)
		}
	}
	if err := (*node)(nil).notNode("some.example", netip.MustParseAddrPort("192.0.2.1:27288")); err != nil {
		t.Errorf("without a cluster: %v", err)
	}
}

// TestRowHasAddressesForClients checks what other nodes are told. A loopback address says nothing on another machine.
func TestRowHasAddressesForClients(t *testing.T) {
	t.Parallel()
	for at, want := range map[string][]string{
		"192.0.2.1:7":    {"192.0.2.1:27288"},
		"db.example:7":   {"192.0.2.1:27288"},
		"127.0.0.1:7":    {"192.0.2.1:27288", "127.0.0.1:27288", "[::1]:27288"},
		"localhost:7":    {"192.0.2.1:27288", "127.0.0.1:27288", "[::1]:27288"},
		"[::1]:7":        {"192.0.2.1:27288", "127.0.0.1:27288", "[::1]:27288"},
		"[2001:db8::]:7": {"192.0.2.1:27288"},
	} {
		n := &node{member: cluster.New(cluster.Options{Name: "a", Address: at})}
		n.serves([]string{"192.0.2.1:27288", "127.0.0.1:27288", "[::1]:27288"})
		var row flawless.Node
		n.figures(&row)
		if !slices.Equal(row.API, want) {
			t.Errorf("%s: the row has %q, want %q", at, row.API, want)
		}
	}
}
