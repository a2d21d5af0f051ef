package main

import (
	"bytes"
	"os"
	"path/filepath"
	"text/template"
)

var formula = template.Must(template.New("formula").Parse(`class Flawless < Formula
  desc "{{.Description}}"
  homepage "{{.Homepage}}"
  version "{{.Version}}"
  license "{{.Licence}}"
{{range .Systems}}
  on_{{.Name}} do
{{- range .Binaries}}
    on_{{.CPU}} do
      url "{{.URL}}"
      sha256 "{{.Sum}}"
    end
{{- end}}
  end
{{end}}
  def install
    bin.install "flawless"
    bash_completion.install "completions/flawless.bash" => "flawless"
    zsh_completion.install "completions/flawless.zsh" => "_flawless"
    fish_completion.install "completions/flawless.fish"
    doc.install "README.md", "CHANGELOG.md", "THIRD_PARTY_LICENSES"
  end

  service do
    run [opt_bin/"flawless", "--working-dir", var/"flawless", "up"]
    keep_alive crashed: true
    log_path var/"log/flawless.log"
    error_log_path var/"log/flawless.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/flawless --version")
    system bin/"flawless", "new", "shop", "--copy-sdk"
    assert_path_exists testpath/"shop/main.go"
  end
end
`))

// formula writes the Homebrew formula, which contains the checksums of the archives.
func (r *release) formula() error {
	type binary struct{ CPU, URL, Sum string }
	type system struct {
		Name     string
		Binaries []binary
	}
	systems := []system{{Name: "macos"}, {Name: "linux"}}
	for _, t := range targets {
		at := map[string]int{"darwin": 0, "linux": 1}
		i, known := at[t.system]
		if !known {
			continue
		}
		archive := r.name(t.String() + ".tar.gz")
		sum, err := sumOf(archive)
		if err != nil {
			return err
		}
		cpu := map[string]string{"amd64": "intel", "arm64": "arm"}[t.arch]
		systems[i].Binaries = append(systems[i].Binaries, binary{cpu, homepage + "/releases/download/v" + r.version + "/" + filepath.Base(archive), sum})
	}
	var b bytes.Buffer
	if err := formula.Execute(&b, map[string]any{"Description": description, "Homepage": homepage, "Version": r.version, "Licence": licence, "Systems": systems}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "flawless.rb"), b.Bytes(), 0o644)
}
