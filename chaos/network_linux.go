package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// network joins machines by a switch: each is a network namespace with an address of its own, and the database, the outside
// and this process are at the switch. So packets between two of them can be dropped in one direction only.
type network struct {
	name string // of the switch
	net  string // first three numbers of the addresses
}

// machine is one of a network.
type machine struct {
	of   *network
	name string // of its namespace
	at   string // its address
}

// newNetwork makes a switch. It needs root.
func newNetwork(ctx context.Context) (*network, error) {
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("network namespaces need root")
	}
	n := &network{name: fmt.Sprintf("fx%d", os.Getpid()), net: fmt.Sprintf("10.213.%d", os.Getpid()%256)}
	return n, commands(ctx,
		"ip link add "+n.name+" type bridge",
		"ip address add "+n.host()+"/24 dev "+n.name,
		"ip link set "+n.name+" up")
}

// host is the address of this process, the outside and the database.
func (n *network) host() string { return n.net + ".1" }

// add adds a machine.
func (n *network) add(ctx context.Context, number int) (*machine, error) {
	m := &machine{of: n, name: fmt.Sprintf("%s-%d", n.name, number), at: fmt.Sprintf("%s.%d", n.net, number+2)}
	near, far := fmt.Sprintf("%sn%d", n.name, number), fmt.Sprintf("%sf%d", n.name, number)
	in := "ip netns exec " + m.name + " "
	return m, commands(ctx,
		"ip netns add "+m.name,
		"ip link add "+near+" type veth peer name "+far,
		"ip link set "+far+" netns "+m.name,
		"ip link set "+near+" master "+n.name+" up",
		in+"ip address add "+m.at+"/24 dev "+far,
		in+"ip link set "+far+" up",
		in+"ip link set lo up")
}

// within is the command that runs another one on the machine.
func (m *machine) within() []string { return []string{"ip", "netns", "exec", m.name} }

// Ways of packets, as seen from a machine.
const (
	in  = "INPUT"
	out = "OUTPUT"
)

// drop lets no packet pass between the machine and an address, in the given directions. Port 0 is all ports.
func (m *machine) drop(ctx context.Context, address string, port int, ways ...string) error {
	for _, way := range ways {
		end, side := "-s", "--sport"
		if way == out {
			end, side = "-d", "--dport"
		}
		rule := fmt.Sprintf("iptables -A %s %s %s", way, end, address)
		if port != 0 {
			rule += fmt.Sprintf(" -p tcp %s %d", side, port)
		}
		if err := commands(ctx, strings.Join(m.within(), " ")+" "+rule+" -j DROP"); err != nil {
			return err
		}
	}
	return nil
}

// mend lets all packets pass again.
func (m *machine) mend(ctx context.Context) error {
	return commands(ctx, strings.Join(m.within(), " ")+" iptables -F")
}

// close removes the network. Its machines must have no processes.
func (n *network) close(machines int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range machines {
		_ = commands(ctx, fmt.Sprintf("ip netns delete %s-%d", n.name, i))
	}
	_ = commands(ctx, "ip link delete "+n.name)
}

// commands runs commands whose words have no spaces.
func commands(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		if text, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, text)
		}
	}
	return nil
}

// listen listens where the machines reach it.
func (n *network) listen() (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort(n.host(), "0"))
}

// partitions are attacks on the network of a node.
var partitions = []attack{
	{"cut from the database", partition(toDatabase, in, out)},
	{"deaf to the database", partition(toDatabase, in)},
	{"not heard by the database", partition(toDatabase, out)},
	{"cut from other nodes", partition(toNodes, in, out)},
	{"deaf to other nodes", partition(toNodes, in)},
	{"not heard by other nodes", partition(toNodes, out)},
}

// partition drops packets between a node and what to names, in the given directions, for up to twice the lease.
func partition(to func(ctx context.Context, c *chaos, m *member, ways ...string) error, ways ...string) func(context.Context, *chaos, *member) error {
	return func(ctx context.Context, c *chaos, m *member) error {
		err := to(ctx, c, m, ways...)
		if err == nil {
			err = c.wait(ctx, 100*time.Millisecond, 2**lease)
		}
		if mended := m.machine.mend(context.WithoutCancel(ctx)); mended != nil {
			return mended
		}
		if err != nil {
			return err
		}
		return c.answers(ctx, m)
	}
}

func toDatabase(ctx context.Context, c *chaos, m *member, ways ...string) error {
	return m.machine.drop(ctx, c.network.host(), c.database, ways...)
}

func toNodes(ctx context.Context, c *chaos, m *member, ways ...string) error {
	for _, other := range c.members {
		if other == m {
			continue
		}
		if err := m.machine.drop(ctx, other.Host, 0, ways...); err != nil {
			return err
		}
	}
	return nil
}
