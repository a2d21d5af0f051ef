package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// try tests the release as far as this machine can.
func (r *release) try(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"the archive of this system", r.tryArchive},
		{"the package for Debian", r.tryPackage},
		{"the image", r.tryImage},
		{"go install and go get", r.tryModules},
		{"a second build", r.tryAgain},
	} {
		fmt.Println("trying", step.name)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// tryArchive unpacks the archive and runs a server with its program.
func (r *release) tryArchive(ctx context.Context) error {
	if host().system == "windows" {
		return errors.New("try on Linux or macOS")
	}
	b, err := os.ReadFile(r.name(host().String() + ".tar.gz"))
	if err != nil {
		return err
	}
	dir := filepath.Join(r.work, "archive")
	if err := unpack(b, dir); err != nil {
		return err
	}
	program := filepath.Join(dir, "flawless_"+r.version+"_"+host().String(), "flawless")
	if err := r.is(ctx, program, r.commit); err != nil {
		return err
	}
	return r.serve(ctx, program)
}

// is checks the version output of a program.
func (r *release) is(ctx context.Context, program, commit string) error {
	out, err := command(ctx, r.work, r.alone(), program, "version", "--json")
	if err != nil {
		return err
	}
	var v struct {
		Command struct{ Version, Commit, Sum string }
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return err
	}
	if v.Command.Version != r.version || v.Command.Commit != commit || commit == "" && v.Command.Sum == "" {
		return fmt.Errorf("%s calls itself %+v", program, v.Command)
	}
	return nil
}

// alone returns an environment that isolates a program from this user's servers and settings.
func (r *release) alone() []string {
	return []string{"HOME=" + r.work, "FLAWLESS_SOCKET=", "FLAWLESS_WORKING_DIR=" + filepath.Join(r.work, "data"), "FLAWLESS_TOKEN="}
}

// serve starts a server, requests its version and stops it.
func (r *release) serve(ctx context.Context, program string, before ...string) error {
	if err := os.RemoveAll(filepath.Join(r.work, "data")); err != nil {
		return err
	}
	args := append(before, program, "up", "--port", "0")
	server := exec.CommandContext(ctx, args[0], args[1:]...)
	server.Dir, server.Env = r.work, append(os.Environ(), r.alone()...)
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	var errs bytes.Buffer
	server.Stderr = &errs
	if err := server.Start(); err != nil {
		return err
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if !strings.Contains(line, "is up") {
		_ = server.Process.Kill()
		return fmt.Errorf("%v: %s%s", server.Wait(), line, errs.String())
	}
	_, err = command(ctx, r.work, r.alone(), program, "module", "list")
	return errors.Join(err, server.Process.Signal(syscall.SIGTERM), server.Wait())
}

// tryPackage unpacks the package as dpkg does and runs a server with its program.
func (r *release) tryPackage(ctx context.Context) error {
	if _, err := exec.LookPath("dpkg-deb"); err != nil || host().system != "linux" {
		fmt.Println("  left out: there is no dpkg-deb here")
		return nil
	}
	dir := filepath.Join(r.work, "package")
	if _, err := command(ctx, r.work, nil, "dpkg-deb", "--extract", r.name(host().String()+".deb"), dir); err != nil {
		return err
	}
	for _, name := range []string{"usr/lib/systemd/system/flawless.service", "usr/share/bash-completion/completions/flawless", "usr/share/doc/flawless/copyright"} {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	program := filepath.Join(dir, "usr", "bin", "flawless")
	if err := r.is(ctx, program, r.commit); err != nil {
		return err
	}
	return r.serve(ctx, program)
}

// tryImage reads the image by its digests, as a registry client does, and runs its program in isolation if this user
// may.
func (r *release) tryImage(ctx context.Context) error {
	layer, err := readImage(r.name("oci.tar"), host().arch)
	if err != nil || host().system != "linux" {
		return err
	}
	dir := filepath.Join(r.work, "image")
	if err := unpack(layer, dir); err != nil {
		return err
	}
	if os.Getuid() != 0 {
		fmt.Println("  not started: only root may change its root directory")
		return nil
	}
	out, err := command(ctx, r.work, []string{"HOME=/data", "FLAWLESS_WORKING_DIR=/data"}, "chroot", dir, "/usr/bin/flawless", "--version")
	if err == nil && !strings.Contains(out, r.version) {
		err = fmt.Errorf("it calls itself %s", out)
	}
	return err
}

// readImage follows an image from its index to the layer of an architecture and verifies every digest.
func readImage(name, arch string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for t := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
	type document struct {
		Manifests, Layers []descriptor
		Config            descriptor
	}
	read := func(d descriptor, into any) error {
		data := files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
		sum := sha256.Sum256(data)
		if d.Digest != "sha256:"+hex.EncodeToString(sum[:]) || d.Size != len(data) {
			return fmt.Errorf("%s is not what its digest says", d.Digest)
		}
		return json.Unmarshal(data, into)
	}
	var top, index, manifest document
	if err := json.Unmarshal(files["index.json"], &top); err != nil {
		return nil, err
	}
	if err := read(top.Manifests[0], &index); err != nil {
		return nil, err
	}
	for _, m := range index.Manifests {
		if m.Platform["architecture"] != arch {
			continue
		}
		var config struct {
			Rootfs struct {
				IDs []string `json:"diff_ids"`
			}
		}
		if err := errors.Join(read(m, &manifest), read(manifest.Config, &config)); err != nil {
			return nil, err
		}
		layer := files["blobs/sha256/"+strings.TrimPrefix(manifest.Layers[0].Digest, "sha256:")]
		z, err := gzip.NewReader(bytes.NewReader(layer))
		if err != nil {
			return nil, err
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(plain); len(config.Rootfs.IDs) != 1 || config.Rootfs.IDs[0] != "sha256:"+hex.EncodeToString(sum[:]) {
			return nil, errors.New("the layer is not what the configuration says")
		}
		return layer, nil
	}
	return nil, fmt.Errorf("there is no image for %s", arch)
}

// unpack writes the files of an archive to a folder.
func unpack(b []byte, dir string) error {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(to, 0o755); err != nil {
				return err
			}
			continue
		}
		data, err := io.ReadAll(t)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, data, os.FileMode(h.Mode))
		}
		if err != nil {
			return err
		}
	}
}

// tryModules serves the commit as a module proxy does, installs the command, creates a project with it and adds the
// SDK to a module, as a user would. Other modules come from this machine's cache or their usual source.
func (r *release) tryModules(ctx context.Context) error {
	tag := "v" + r.version
	offered := filepath.Join(r.work, "proxy")
	for path, folder := range map[string]string{ourModule: "", ourModule + "/sdk/go": "sdk/go"} {
		if err := r.offer(offered, module.Version{Path: path, Version: tag}, folder); err != nil {
			return err
		}
	}
	settings, err := command(ctx, r.work, nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return err
	}
	lines := strings.Fields(settings)
	if len(lines) != 2 {
		return fmt.Errorf("go env says %q", settings)
	}
	env := append(compiling(host()),
		"GOPROXY=file://"+offered+",file://"+lines[0]+"/cache/download,"+lines[1], "GONOSUMDB="+ourModule+","+ourModule+"/sdk/go",
		"GOMODCACHE="+filepath.Join(r.work, "modules"), "GOBIN="+filepath.Join(r.work, "installed"), "GOPRIVATE=", "GONOPROXY=")
	if _, err := command(ctx, r.work, env, "go", "install", ourModule+"/cmd/flawless@"+tag); err != nil {
		return err
	}
	program := filepath.Join(r.work, "installed", host().program())
	if err := r.is(ctx, program, ""); err != nil {
		return err
	}
	if _, err := command(ctx, r.work, append(env, r.alone()...), program, "new", "shop"); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(r.work, "shop", "go.mod"))
	if err != nil {
		return err
	}
	if !regexp.MustCompile(`(?m)^require ` + ourModule + `/sdk/go ` + regexp.QuoteMeta(tag) + `$`).Match(mod) {
		return fmt.Errorf("the new project does not require the SDK:\n%s", mod)
	}
	if _, err := command(ctx, filepath.Join(r.work, "shop"), env, "go", "vet", "."); err != nil {
		return err
	}
	own := filepath.Join(r.work, "own")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	for _, args := range [][]string{{"mod", "init", "example.com/own"}, {"get", ourModule + "/sdk/go@" + tag}} {
		if _, err := command(ctx, own, env, "go", args...); err != nil {
			return err
		}
	}
	return nil
}

// offer writes a version of a module from a folder of the repository, in the layout of a module proxy.
func (r *release) offer(dir string, m module.Version, folder string) error {
	at := filepath.Join(dir, filepath.FromSlash(m.Path), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(r.source, filepath.FromSlash(folder), "go.mod"))
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := zip.CreateFromVCS(&packed, m, r.source, r.commit, folder); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": m.Version, "Time": r.time.Format(time.RFC3339)})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"list": []byte(m.Version + "\n"), m.Version + ".info": info, m.Version + ".mod": mod, m.Version + ".zip": packed.Bytes()} {
		if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// tryAgain builds everything a second time in another folder, except what is only compiled for other systems, and
// compares.
func (r *release) tryAgain(ctx context.Context) error {
	again := &release{version: r.version, repo: r.repo, out: filepath.Join(r.work, "again")}
	defer again.clean()
	if err := again.prepare(ctx); err != nil {
		return err
	}
	for _, t := range targets {
		if t == host() {
			if err := again.compile(ctx, t); err != nil {
				return err
			}
			continue
		}
		b, err := os.ReadFile(r.binary(t))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(again.binary(t)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(again.binary(t), b, 0o755)
		}
		if err != nil {
			return err
		}
	}
	if err := again.assemble(ctx); err != nil {
		return err
	}
	first, err := os.ReadFile(filepath.Join(r.out, "SHA256SUMS"))
	if err != nil {
		return err
	}
	second, err := os.ReadFile(filepath.Join(again.out, "SHA256SUMS"))
	if err != nil {
		return err
	}
	if !bytes.Equal(first, second) {
		return fmt.Errorf("it differs from the first:\n%s\n%s", first, second)
	}
	return nil
}
