package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var valid = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9a-z]+(\.[0-9a-z]+)*)?$`)

// clone clones the checked-out commit and tags it, because the Go toolchain writes the tag into the binary. A separate
// clone contains nothing uncommitted, and is not a git worktree, from which the toolchain would record nothing.
func (r *release) clone(ctx context.Context) error {
	r.source = filepath.Join(r.work, "source")
	if _, err := command(ctx, r.repo, nil, "git", "clone", "--quiet", "--no-hardlinks", r.repo, r.source); err != nil {
		return err
	}
	head, err := command(ctx, r.repo, nil, "git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	r.commit = strings.TrimSpace(head)
	if _, err := command(ctx, r.source, nil, "git", "-c", "advice.detachedHead=false", "checkout", "--quiet", r.commit); err != nil {
		return err
	}
	at, err := command(ctx, r.source, nil, "git", "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(at), 10, 64)
	if err != nil {
		return err
	}
	r.time = time.Unix(seconds, 0).UTC()
	for _, tag := range []string{"v" + r.version, "sdk/go/v" + r.version} {
		if was, err := command(ctx, r.source, nil, "git", "rev-parse", "--quiet", "--verify", tag+"^{commit}"); err == nil && strings.TrimSpace(was) != r.commit {
			return fmt.Errorf("the tag %s is on commit %s, and %s is checked out: a version is released once", tag, strings.TrimSpace(was), r.commit)
		}
	}
	// Another tag of the commit would be used as its version.
	tags, err := command(ctx, r.source, nil, "git", "tag", "--points-at", "HEAD")
	if err != nil {
		return err
	}
	for _, tag := range strings.Fields(tags) {
		if _, err := command(ctx, r.source, nil, "git", "tag", "--delete", tag); err != nil {
			return err
		}
	}
	for _, tag := range []string{"v" + r.version, "sdk/go/v" + r.version} {
		if _, err := command(ctx, r.source, nil, "git", "tag", tag); err != nil {
			return err
		}
	}
	return nil
}

// agreed lists the files that contain the version of the release.
var agreed = []struct{ file, pattern string }{
	{"sdk/go/workflow.go", `(?m)^const Version = "VERSION"$`},
	{"sdk/rust/Cargo.toml", `(?m)^version = "VERSION"$`},
	{"sdk/rust/flawless-sdk/Cargo.toml", `flawless-sdk-macros = \{[^}]*version = "VERSION"`},
	{"sdk/rust/client/Cargo.toml", `(?m)^version = "VERSION"$`},
	{"sdk/rust/client/Cargo.toml", `flawless-sdk = \{[^}]*version = "VERSION"`},
	{"client/ts/package.json", `(?m)^\t"version": "VERSION",$`},
	{"CHANGELOG.md", `(?m)^## VERSION\b`},
}

// agree checks that the source has the version.
func (r *release) agree() error {
	for _, a := range agreed {
		text, err := os.ReadFile(filepath.Join(r.source, filepath.FromSlash(a.file)))
		if err != nil {
			return err
		}
		p := strings.Replace(a.pattern, "VERSION", regexp.QuoteMeta(r.version), 1)
		if !regexp.MustCompile(p).Match(text) {
			return fmt.Errorf("%s does not name version %s (nothing in it matches %s): set it and commit", a.file, r.version, p)
		}
	}
	return nil
}

// command runs a program in a folder with additional environment variables and returns its output.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}
