// Command release builds a release of Flawless from a commit: archives with a static binary for each system, packages
// for Debian and Fedora, a container image, a Homebrew formula, a bill of materials for each binary, and checksums.
// The same commit and Go version give the same bytes. With -try it also tests what it has built.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	version := flag.String("version", "", "version to release, such as 1.2.0")
	repo := flag.String("repo", ".", "folder of the repository; what is committed there is released")
	out := flag.String("out", "dist", "folder to write to; what an earlier release has left there is removed")
	try := flag.Bool("try", false, "use what was built: install it, start it, build it again")
	flag.Parse()
	r := &release{version: *version, repo: *repo, out: *out}
	err := r.build(ctx)
	if err == nil && *try {
		err = r.try(ctx)
	}
	if err = errors.Join(err, r.clean()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
	if !*try {
		fmt.Print(r.next())
	}
}

const (
	ourModule   = "github.com/flawless-engine/flawless"
	homepage    = "https://github.com/flawless-engine/flawless"
	maintainer  = "The Flawless authors <flawless-engine@users.noreply.github.com>"
	description = "Durable execution engine: runs workflows in Go and Rust to completion"
	licence     = "Apache-2.0"

	// details is the long description in packages.
	details = `A workflow is an ordinary function, compiled to WebAssembly. What it asks of the world is kept in a log;
after a crash it is run again and handed the logged answers, so that nothing is done twice.`
)

// target is a system to build a binary for.
type target struct{ system, arch string }

var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

func (t target) String() string { return t.system + "_" + t.arch }

func (t target) program() string {
	if t.system == "windows" {
		return "flawless.exe"
	}
	return "flawless"
}

// release is a release being built.
type release struct {
	version   string // without leading v
	repo, out string
	work      string    // removed at the end
	source    string    // clone of the commit with the tags of the release
	commit    string    // commit hash
	time      time.Time // commit time, used for all files
	files     []file    // files in archives and packages besides the binary
	third     []byte    // licences of modules in the binaries
}

// build builds everything into the output folder.
func (r *release) build(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	for _, t := range targets {
		fmt.Println("building", t)
		if err := r.compile(ctx, t); err != nil {
			return err
		}
	}
	return r.assemble(ctx)
}

// prepare clones the commit and checks that it is ready for release.
func (r *release) prepare(ctx context.Context) error {
	if !valid.MatchString(r.version) {
		return fmt.Errorf("%q is no version to release; give one such as 1.2.0 or 1.2.0-rc.1", r.version)
	}
	var err error
	if r.repo, err = filepath.Abs(r.repo); err != nil {
		return err
	}
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "flawless-release-"); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil {
		return err
	}
	if err := r.clone(ctx); err != nil {
		return err
	}
	return r.agree()
}

// assemble builds everything except the binaries.
func (r *release) assemble(ctx context.Context) error {
	if err := r.completions(ctx); err != nil {
		return err
	}
	if err := r.licences(ctx); err != nil {
		return err
	}
	for _, do := range []func() error{r.archives, r.bills, r.packages, r.image, r.formula, r.checksums} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// binary returns the path of the compiled program of a target.
func (r *release) binary(t target) string {
	return filepath.Join(r.work, "bin", t.String(), t.program())
}

// host returns the target that this machine can run.
func host() target { return target{runtime.GOOS, runtime.GOARCH} }

func (r *release) name(rest string) string {
	return filepath.Join(r.out, "flawless_"+r.version+"_"+rest)
}

func (r *release) clean() error {
	if r.work == "" {
		return nil
	}
	// The go command makes the files of a module cache read-only.
	_ = filepath.WalkDir(r.work, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o755)
		}
		return nil
	})
	return os.RemoveAll(r.work)
}

// next returns how to publish the release.
func (r *release) next() string {
	tag := "v" + r.version
	return strings.NewReplacer("TAG", tag, "COMMIT", r.commit, "OUT", r.out).Replace(`OUT has the release TAG of COMMIT. To publish it:
  git tag TAG COMMIT && git tag sdk/go/TAG COMMIT && git push origin TAG sdk/go/TAG
  upload OUT/* to the release TAG of the repository
  push the image of the archive *_oci.tar to a registry (such as: skopeo copy --all oci-archive:FILE docker://IMAGE:TAG)
  cd sdk/rust && cargo publish -p flawless-sdk-macros && cargo publish -p flawless-sdk && cd client && cargo publish
`)
}
