package flawless

import "fmt"

// Secret returns a placeholder for a secret that the operator has stored in the engine. Use it in the headers, the
// URL or the body of a request, or in the user or password of basic authentication. The engine replaces it by the
// value on the wire if the operator has allowed the secret for the host of the request. Otherwise the request is not
// sent, and the call returns a [*NotSent] with the reason policy.
//
//	req := flawless.Request{URL: "https://api.example.com/orders", Header: flawless.Header{
//		{"Authorization", "Bearer " + flawless.Secret("SHOP_TOKEN")},
//	}}
//
// The run never sees the value, so it cannot hash or compare it. If the server sends the value back, the response has
// the placeholder in its place. A placeholder works only in requests of the run that made it.
//
// A name has 1 to 100 letters, digits, dashes and underscores; Secret panics on any other name. Outside a workflow,
// the placeholder is useless.
func Secret(name string) string {
	if !secretName(name) {
		panic(fmt.Sprintf("flawless: invalid secret name %.200q: use 1 to 100 letters, digits, dashes and underscores", name))
	}
	token := "outside"
	if s := current.Load(); s != nil {
		token = s.secrets
	}
	return "flawless-secret." + name + "." + token
}

func secretName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(name) > 0 && len(name) <= 100
}
