package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

func nodeRoutes() []Route {
	return []Route{
		{"GET /nodes", func(v *Visit) error { return v.showNodes(http.StatusOK, nil) }},
		{"POST /nodes", changeNode},
	}
}

// nodeRow is a node in the list.
type nodeRow struct {
	flawless.NodeStatus
	Age time.Duration // since it renewed its lease
}

// Rate returns the calls that it begins per second.
func (n nodeRow) Rate() string { return fmt.Sprintf("%.1f", n.Calls) }

// showNodes shows the servers, and whether the history of the database is in question.
func (v *Visit) showNodes(status int, problem error) error {
	nodes, err := v.Client.Nodes(v.ctx())
	if err != nil {
		return err
	}
	rows := make([]nodeRow, len(nodes))
	for i, n := range nodes {
		rows[i] = nodeRow{n, time.Duration(n.LeaseAge) * time.Millisecond}
	}
	history, err := v.Client.History(v.ctx())
	if err != nil {
		return err
	}
	health, err := v.Client.Health(v.ctx())
	if err != nil {
		return err
	}
	d := map[string]any{"Nodes": rows, "History": history, "Health": health, "Commands": []string{"flawless node list", form.Shell("flawless", "node", "drain", "NAME", "--wait"), "flawless history"}}
	if problem != nil {
		d["Problem"] = word.Sentence(problem.Error())
	}
	v.Show(status, "nodes.html", Page{Title: "Nodes", Here: "/nodes", Data: d})
	return nil
}

// changeNode drains a node, or accepts the history.
func changeNode(v *Visit) (err error) {
	switch v.R.PostFormValue("do") {
	case "drain", "undrain":
		_, err = v.Client.DrainNode(v.ctx(), v.R.PostFormValue("node"), v.R.PostFormValue("do") == "drain")
	case "accept":
		_, err = v.Client.AcceptHistory(v.ctx(), v.Who, v.R.PostFormValue("note"))
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		return v.again(err, func(status int) error { return v.showNodes(status, err) })
	}
	http.Redirect(v.W, v.R, v.Base+"/nodes", http.StatusSeeOther)
	return nil
}
