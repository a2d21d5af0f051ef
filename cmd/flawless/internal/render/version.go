package render

import (
	"fmt"
	"io"

	"github.com/flawless-engine/flawless"
)

// Version prints the version of this command and, if reached says which server was reached, that of its store.
func Version(w io.Writer, this flawless.Build, reached string, h flawless.Health) {
	fmt.Fprintln(w, "flawless", this)
	fmt.Fprintf(w, "formats: store %d, log %d, bundle %d; guest interface %d\n", this.StoreFormat, this.LogFormat, this.BundleFormat, this.GuestInterface)
	if reached == "" {
		return
	}
	fmt.Fprintln(w, "server", reached)
	fmt.Fprintf(w, "store %s, start %d\n", h.Store, h.Start)
	if h.Origin != "" {
		fmt.Fprintf(w, "a copy of store %s\n", h.Origin)
	}
}
