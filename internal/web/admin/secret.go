package admin

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

func secretRoutes() []Route {
	return []Route{
		{"GET /secrets", func(v *Visit) error { return v.showSecrets(http.StatusOK, "", nil) }},
		{"POST /secrets", changeSecret},
	}
}

// showSecrets lists the names of secrets and where they may be sent, never their values. What was filled in as a value is not shown
// again, either.
func (v *Visit) showSecrets(status int, done string, problem error) error {
	all, err := v.Client.Secrets(v.ctx())
	if err != nil {
		return err
	}
	d := map[string]any{"Secrets": all, "Done": done, "Name": v.R.PostForm.Get("name"), "Hosts": v.R.PostForm.Get("hosts"),
		"Commands": []string{form.Shell("flawless", "secret", "set", "STRIPE", "--host", "api.stripe.com") + " < key.txt", "flawless secret rotate-key"}}
	if done != "" {
		d["Name"], d["Hosts"] = "", ""
	}
	if problem != nil {
		d["Problem"] = word.Sentence(problem.Error())
	}
	v.Show(status, "secrets.html", Page{Title: "Secrets", Here: "/secrets", Data: d})
	return nil
}

// changeSecret stores or removes a secret, or encrypts all with a new key.
func changeSecret(v *Visit) (err error) {
	name := strings.TrimSpace(v.R.PostFormValue("name"))
	switch v.R.PostFormValue("do") {
	case "set":
		hosts := strings.FieldsFunc(v.R.PostFormValue("hosts"), func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ' ' })
		value := strings.TrimSuffix(strings.ReplaceAll(v.R.PostFormValue("value"), "\r\n", "\n"), "\n")
		_, err = v.Client.SetSecret(v.ctx(), name, hosts, value)
	case "remove":
		err = v.Client.RemoveSecret(v.ctx(), name)
	case "rotate":
		key, n, err := v.Client.RotateSecretKey(v.ctx())
		if err == nil {
			return v.showSecrets(http.StatusOK, fmt.Sprintf("%s secrets are encrypted with the new key %s.", word.Number(n), key), nil)
		}
		return v.again(err, func(status int) error { return v.showSecrets(status, "", err) })
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		return v.again(err, func(status int) error { return v.showSecrets(status, "", err) })
	}
	http.Redirect(v.W, v.R, v.Base+"/secrets", http.StatusSeeOther)
	return nil
}
