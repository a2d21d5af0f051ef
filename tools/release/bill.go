package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// bills writes a bill of materials for each binary, in CycloneDX 1.6 format.
func (r *release) bills() error {
	for _, t := range targets {
		info, err := buildinfo.ReadFile(r.binary(t))
		if err != nil {
			return err
		}
		b, err := bill(info, r.version, r.time)
		if err == nil {
			err = os.WriteFile(r.name(t.String()+".cdx.json"), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type component struct {
	Type     string `json:"type"`
	Ref      string `json:"bom-ref,omitempty"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	PURL     string `json:"purl,omitempty"`
	Hashes   []hash `json:"hashes,omitempty"`
	Licences []any  `json:"licenses,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type dependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn,omitempty"`
}

// bill lists the modules recorded in a binary.
func bill(info *debug.BuildInfo, version string, at time.Time) ([]byte, error) {
	self := component{Type: "application", Name: "flawless", Version: version, PURL: purl(ourModule, "v"+version), Licences: []any{map[string]any{"license": map[string]string{"id": licence}}}}
	self.Ref = self.PURL
	compiler := strings.TrimPrefix(info.GoVersion, "go")
	parts := []component{{Type: "library", Name: "std", Version: info.GoVersion, PURL: "pkg:golang/std@" + compiler, Ref: "pkg:golang/std@" + compiler}}
	for _, m := range info.Deps {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
		if err != nil || len(sum) != 32 {
			return nil, fmt.Errorf("%s has the checksum %q, which is no SHA-256", m.Path, m.Sum)
		}
		p := purl(m.Path, m.Version)
		parts = append(parts, component{Type: "library", Ref: p, Name: m.Path, Version: m.Version, PURL: p, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum)}}})
	}
	on := make([]string, len(parts))
	for i, p := range parts {
		on[i] = p.Ref
	}
	out := map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":     map[string]any{"timestamp": at.Format(time.RFC3339), "component": self},
		"components":   parts,
		"dependencies": []dependency{{self.Ref, on}},
	}
	b, err := json.MarshalIndent(out, "", "  ")
	return append(b, '\n'), err
}

// purl returns the package URL of a module, in lower case.
// https://github.com/package-url/purl-spec/blob/main/types-doc/golang-definition.md
func purl(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}
