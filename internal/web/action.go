package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// actionRoutes adds what can be done to one run and needs more than a reason.
func (c *console) actionRoutes() {
	c.pages.HandleFunc("POST /runs/{id}/retry", c.page(c.retry))
	c.pages.HandleFunc("POST /runs/{id}/restart", c.page(c.restart))
}

// retry retries a failed call now, or gives up on it.
func (c *console) retry(v *visit) error {
	call, err := strconv.Atoi(v.r.PostFormValue("call"))
	if err != nil {
		return fmt.Errorf("the form names no call: %w", flawless.Invalid)
	}
	r, err := v.client.Urge(v.ctx(), v.r.PathValue("id"), client.Urge{Call: call, GiveUp: v.r.PostFormValue("give_up") == "true", Who: who, Note: v.r.PostFormValue("note")})
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, v.base+"/runs/"+url.PathEscape(r.ID), http.StatusSeeOther)
	return nil
}

// restart starts a run again, and leads to the new one.
func (c *console) restart(v *visit) error {
	r, err := v.client.Restart(v.ctx(), v.r.PathValue("id"), client.Restart{Version: v.r.PostFormValue("version")})
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, v.base+"/runs/"+url.PathEscape(r.ID), http.StatusSeeOther)
	return nil
}
