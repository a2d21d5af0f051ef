package flawless

import "fmt"

// Secret returns a placeholder for a secret of the engine's operator. Where it stands in the
// headers, the URL or the body of a request, the engine puts the value in its place on the wire, if
// the request goes to a host that the operator has allowed for it; to any other host it is not sent,
// and the call returns a [*NotSent]. A user and password of basic authentication may hold one too.
//
//	req := flawless.Request{URL: "https://api.example.com/orders", Header: flawless.Header{
//		{"Authorization", "Bearer " + flawless.Secret("SHOP_TOKEN")},
//	}}
//
// The run never holds the value: where the server sends it back, the placeholder stands in its place.
// So it can be neither hashed nor compared. A placeholder is of use in requests of this run alone.
//
// A name is 1 to 100 letters, digits, dashes and underscores; Secret panics on any other. Outside a
// workflow the placeholder is of no use.
func Secret(name string) string {
	if !secretName(name) {
		panic(fmt.Sprintf("flawless: a secret's name is 1 to 100 letters, digits, dashes and underscores, %.200q is not", name))
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
