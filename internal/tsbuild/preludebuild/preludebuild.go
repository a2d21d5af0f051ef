// Package preludebuild bundles the prelude of TypeScript modules, for its generator and the test that it is current.
package preludebuild

import (
	"errors"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// Build bundles prelude/index.ts of a folder.
func Build(dir string) ([]byte, error) {
	r := api.Build(api.BuildOptions{
		EntryPoints: []string{dir + "/prelude/index.ts"},
		Bundle:      true, Format: api.FormatIIFE, Target: api.ES2023, Platform: api.PlatformBrowser, Charset: api.CharsetUTF8,
		MinifySyntax: true, MinifyWhitespace: true, MinifyIdentifiers: true, KeepNames: true, LineLimit: 200,
		MainFields: []string{"module", "main"}, LegalComments: api.LegalCommentsInline, LogLevel: api.LogLevelSilent,
	})
	if len(r.Errors) > 0 {
		return nil, errors.New(strings.Join(api.FormatMessages(r.Errors, api.FormatMessagesOptions{Kind: api.ErrorMessage}), ""))
	}
	return r.OutputFiles[0].Contents, nil
}
