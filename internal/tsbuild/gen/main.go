// Command gen bundles sdk/ts/prelude to prelude.js. The packages that it imports must be in sdk/ts/node_modules: npm ci.
package main

import (
	"fmt"
	"os"

	"github.com/flawless-engine/flawless/internal/tsbuild/preludebuild"
)

func main() {
	b, err := preludebuild.Build("../../sdk/ts")
	if err == nil {
		err = os.WriteFile("prelude.js", b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
