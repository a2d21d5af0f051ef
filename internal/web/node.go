package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/form"
)

func (c *console) nodeRoutes() {
	c.pages.HandleFunc("GET /nodes", c.page(func(v *visit) error { return v.showNodes(http.StatusOK, nil) }))
	c.pages.HandleFunc("POST /nodes", c.page(c.changeNode))
}

// nodeRow is a node in the list.
type nodeRow struct {
	flawless.NodeStatus
	Age time.Duration // since it renewed its lease
}

// Rate returns the calls that it begins per second.
func (n nodeRow) Rate() string { return fmt.Sprintf("%.1f", n.Calls) }

// showNodes shows the servers, and whether the history of the database is in question.
func (v *visit) showNodes(status int, problem error) error {
	nodes, err := v.client.Nodes(v.ctx())
	if err != nil {
		return err
	}
	rows := make([]nodeRow, len(nodes))
	for i, n := range nodes {
		rows[i] = nodeRow{n, time.Duration(n.LeaseAge) * time.Millisecond}
	}
	history, err := v.client.History(v.ctx())
	if err != nil {
		return err
	}
	health, err := v.client.Health(v.ctx())
	if err != nil {
		return err
	}
	d := map[string]any{"Nodes": rows, "History": history, "Health": health, "Commands": []string{"flawless node list", form.Shell("flawless", "node", "drain", "NAME", "--wait"), "flawless history"}}
	if problem != nil {
		d["Problem"] = sentence(problem.Error())
	}
	v.show(status, "nodes.html", &view{Title: "Nodes", Here: "/nodes", Data: d})
	return nil
}

// changeNode drains a node, or accepts the history.
func (c *console) changeNode(v *visit) (err error) {
	switch v.r.PostFormValue("do") {
	case "drain", "undrain":
		_, err = v.client.DrainNode(v.ctx(), v.r.PostFormValue("node"), v.r.PostFormValue("do") == "drain")
	case "accept":
		_, err = v.client.AcceptHistory(v.ctx(), who, v.r.PostFormValue("note"))
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		return v.again(err, func(status int) error { return v.showNodes(status, err) })
	}
	http.Redirect(v.w, v.r, v.base+"/nodes", http.StatusSeeOther)
	return nil
}
