package render

import (
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
)

// Nodes returns the table of the servers on a database.
func Nodes(all []flawless.NodeStatus) (header string, rows [][]string) {
	for _, n := range all {
		age := (time.Duration(n.LeaseAge) * time.Millisecond).Round(time.Second / 10).String()
		state := "ok"
		switch {
		case n.Dead:
			age, state = "-", "dead"
		case n.Draining && n.Shards == 0:
			state = "drained"
		case n.Draining:
			state = "draining"
		}
		if n.Questioned {
			state += ", calls in question"
		}
		rows = append(rows, []string{n.Name, n.Address, n.Version, fmt.Sprint(n.Shards), fmt.Sprint(n.Guests), fmt.Sprint(n.Calls), age, state})
	}
	return "NAME\tADDRESS\tVERSION\tSHARDS\tGUESTS\tCALLS/S\tLEASE AGE\tSTATE", rows
}
