package web

import "net/http"

// bundleRoutes adds the page that shows a run from a file.
func (c *console) bundleRoutes() {
	c.pages.HandleFunc("GET /bundle", c.page(func(v *visit) error {
		v.show(http.StatusOK, "bundle.html", &view{Title: "Exported run", Here: "/runs"})
		return nil
	}))
}
