package web

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/form"
)

func (c *console) secretRoutes() {
	c.pages.HandleFunc("GET /secrets", c.page(func(v *visit) error { return v.showSecrets(http.StatusOK, "", nil) }))
	c.pages.HandleFunc("POST /secrets", c.page(c.changeSecret))
}

// showSecrets lists the names of secrets and where they may be sent, never their values. What was filled in as a value is not shown
// again, either.
func (v *visit) showSecrets(status int, done string, problem error) error {
	all, err := v.client.Secrets(v.ctx())
	if err != nil {
		return err
	}
	d := map[string]any{"Secrets": all, "Done": done, "Name": v.r.PostForm.Get("name"), "Hosts": v.r.PostForm.Get("hosts"),
		"Commands": []string{form.Shell("flawless", "secret", "set", "STRIPE", "--host", "api.stripe.com") + " < key.txt", "flawless secret rotate-key"}}
	if done != "" {
		d["Name"], d["Hosts"] = "", ""
	}
	if problem != nil {
		d["Problem"] = sentence(problem.Error())
	}
	v.show(status, "secrets.html", &view{Title: "Secrets", Here: "/secrets", Data: d})
	return nil
}

// changeSecret stores or removes a secret, or encrypts all with a new key.
func (c *console) changeSecret(v *visit) (err error) {
	name := strings.TrimSpace(v.r.PostFormValue("name"))
	switch v.r.PostFormValue("do") {
	case "set":
		hosts := strings.FieldsFunc(v.r.PostFormValue("hosts"), func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ' ' })
		value := strings.TrimSuffix(strings.ReplaceAll(v.r.PostFormValue("value"), "\r\n", "\n"), "\n")
		_, err = v.client.SetSecret(v.ctx(), name, hosts, value)
	case "remove":
		err = v.client.RemoveSecret(v.ctx(), name)
	case "rotate":
		key, n, err := v.client.RotateSecretKey(v.ctx())
		if err == nil {
			return v.showSecrets(http.StatusOK, fmt.Sprintf("%s secrets are encrypted with the new key %s.", number(n), key), nil)
		}
		return v.again(err, func(status int) error { return v.showSecrets(status, "", err) })
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		return v.again(err, func(status int) error { return v.showSecrets(status, "", err) })
	}
	http.Redirect(v.w, v.r, v.base+"/secrets", http.StatusSeeOther)
	return nil
}
