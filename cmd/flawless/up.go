package main

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"time"
	_ "time/tzdata"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/daemon"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
)

func (a *app) upCommand() *cobra.Command {
	var o daemon.Options
	var bind string
	var pages, units int
	var memory flagvalue.Memory
	var retryFor flagvalue.OwnRetryFor
	c := &cobra.Command{Use: "up", Short: "Start the server", Args: cobra.NoArgs,
		Long: `Runs the server until you stop it (SIGTERM or Ctrl-C). Commands with the same
--working-dir find it. With --port 0 it picks free ports, so several servers
can run on one machine.

When you stop it, the server takes no new work, waits for calls in flight and
logs their answers. A second signal stops it at once; the outcomes of calls in
flight are then determined at the next start.

With --store, the store is in a PostgreSQL database, and the working directory
only has compiled code, the key of the secrets and the address of the server.
All servers on one schema are nodes of one cluster: any of them answers any
request, each does a part of the work, and when one stops, the others take over
its part.

If the disk fails and the server cannot go on writing its store, it stops with
exit code 12. Have your service manager restart it.`,
		Example: "  flawless --working-dir ./data up\n  flawless up --socket 0.0.0.0:27288 --port 8080 --token-file token.txt\n  flawless --working-dir ./other up --port 0\n  PGPASSWORD=... flawless up --store postgres://flawless@db.example/flawless",
		RunE: func(c *cobra.Command, _ []string) error {
			o.Dir, o.Socket, o.Port, o.Out, o.Log = a.Dir, a.Socket, a.Port, a.out, a.errs
			o.NoUDP = a.TCP
			if err := daemon.CheckNames(o.URL, o.AllowedHosts); err != nil {
				return err
			}
			var err error
			if o.Token, err = a.Token(); err != nil {
				return err
			}
			if bind != "" {
				if o.Socket, err = daemon.BindAddress(bind, a.Socket); err != nil {
					return err
				}
			}
			if o.Port == 0 && !a.FreePort {
				if _, p, e := net.SplitHostPort(o.Socket); e == nil {
					o.Port, _ = strconv.Atoi(p)
				}
			}
			for _, name := range []string{"store-schema", "name", "advertise", "lease"} {
				if c.Flags().Changed(name) && o.Store == "" {
					return fmt.Errorf("--%s needs --store: %w", name, flawless.Invalid)
				}
			}
			_, set := os.LookupEnv(endpoint.TokenVariable)
			o.NoToken = set && o.Token == ""
			o.Memory, o.MemoryPages, o.TurnUnits, o.RetryFor = memory.Budget(), uint32(pages), uint64(units), retryFor.Duration()
			return daemon.Run(c.Context(), o)
		}}
	f := c.Flags()
	f.StringVar(&o.Store, "store", "", "address of a PostgreSQL database for the store, such as postgres://user@host/database (password in $PGPASSWORD or ~/.pgpass); without it, the store is in the working directory")
	f.StringVar(&o.Schema, "store-schema", "", "schema of the store's tables in that database (default flawless)")
	f.StringVar(&o.Name, "name", "", "name of this node among those on the database of --store (default the name of the machine)")
	f.StringVar(&o.Advertise, "advertise", "", "address at which other nodes reach this one, host:port (default the address from which the database is reached, and a free port)")
	f.Var(flagvalue.NewDuration(&o.Lease, daemon.DefaultLease, 3*time.Second, time.Hour), "lease", "how long other nodes wait for one that does not answer before they take over its work; the same on all nodes")
	f.Var(flagvalue.NewDuration(&o.Drain, 30*time.Second, 0, flawless.MaxDeadline), "drain", "how long a graceful shutdown waits for calls in flight")
	f.Var(flagvalue.NewInt(&pages, 4096, 1, 65536), "memory-pages", "maximum memory of a guest, in pages of 64 KiB")
	f.Var(flagvalue.NewInt(&units, 0, 0, math.MaxInt), "turn-units", "maximum computation in one turn, in metered units; 0 is unlimited")
	f.Var(flagvalue.NewDuration(&o.TurnTime, 0, 0, flawless.MaxDeadline), "turn-time", "maximum time of one turn; 0 is unlimited. Prefer --turn-units, which is the same on every machine")
	f.StringVar(&bind, "bind", "", "address to listen on, for TCP and UDP: host or host:port; replaces --socket")
	f.StringVar(&o.URL, "public-url", "", "URL at which others reach this server, used in the URLs of promises (default: http:// and the address)")
	f.StringArrayVar(&o.AllowedHosts, "allow-host", nil, "additional host name to accept requests for, such as that of a proxy (repeatable)")
	f.StringArrayVar(&o.Redact, "redact", nil, "header or URL parameter whose value is never shown, such as header:X-Api-Key or query:token (repeatable)")
	f.BoolVar(&o.SelfCalls, "allow-self-calls", false, "allow runs to call the API of this server, and of other nodes")
	f.StringVar(&o.Outside.Proxy, "proxy", "", "HTTP proxy for outgoing calls, such as http://proxy.example:3128; env uses HTTPS_PROXY, HTTP_PROXY and NO_PROXY")
	f.StringVar(&o.Outside.NoProxy, "no-proxy", "", "hosts to reach without the proxy, separated by commas (domains, addresses, CIDR ranges); needs --proxy")
	f.StringArrayVar(&o.Outside.CA, "ca", nil, "file with additional certificate authorities (PEM) to trust for calls (repeatable)")
	retryFor.RetryFor = flagvalue.RetryFor(flawless.DefaultRetryFor.Milliseconds())
	f.Var(&retryFor, "retry-for", "how long failed calls are retried, such as 24h or 7d; 0 or none disables retries (default 24h). Hosts and modules can override it")
	f.Var(flagvalue.NewInt(&o.Live, 0, 0, flagvalue.MaxInt), "live", "maximum number of guests in memory; 0 is as many as --memory allows")
	memory = flagvalue.DefaultMemory
	f.Var(&memory, "memory", "target for the memory use of the server, such as 1GiB: as many guests stay in memory as fit; 0 is unlimited")
	f.BoolVar(&o.AcceptCopy, "accept-copy", false, "accept a working directory that is a copy, was restored or moved: it becomes a separate store, and all open runs are held until you resume them")
	f.BoolVar(&o.Verbose, "verbose", false, "log debug messages")
	return c
}
