package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// unit starts the server. The package does not enable it, because the operator has to choose token and address first.
const unit = `[Unit]
Description=Flawless, runs workflows to completion
Documentation=` + homepage + `
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/bin/flawless --working-dir /var/lib/flawless up
# FLAWLESS_TOKEN, FLAWLESS_SOCKET and other settings.
EnvironmentFile=-/etc/flawless/environment
DynamicUser=yes
StateDirectory=flawless
StateDirectoryMode=0700
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2 4 11 13
LimitNOFILE=65536
TimeoutStopSec=40
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
`

// packages builds the Debian and Fedora packages.
func (r *release) packages() error {
	for _, t := range targets {
		if t.system != "linux" {
			continue
		}
		for _, format := range []string{"deb", "rpm"} {
			if err := r.pack(t, format); err != nil {
				return fmt.Errorf("the package for %s, %s: %w", t, format, err)
			}
		}
	}
	return nil
}

func (r *release) pack(t target, format string) error {
	var contents files.Contents
	add := func(from, to string, mode os.FileMode) {
		contents = append(contents, &files.Content{Source: from, Destination: to, FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.time}})
	}
	add(r.binary(t), "/usr/bin/flawless", 0o755)
	to := map[string]string{
		"completions/flawless.bash": "/usr/share/bash-completion/completions/flawless",
		"completions/flawless.zsh":  "/usr/share/zsh/vendor-completions/_flawless",
		"completions/flawless.fish": "/usr/share/fish/vendor_completions.d/flawless.fish",
		"LICENSE":                   "/usr/share/doc/flawless/copyright",
	}
	if format == "rpm" {
		to["completions/flawless.zsh"], to["LICENSE"] = "/usr/share/zsh/site-functions/_flawless", "/usr/share/doc/flawless/LICENSE"
	}
	for i, f := range append(r.files, file{name: "flawless.service", data: []byte(unit)}) {
		from := filepath.Join(r.work, fmt.Sprintf("%s-%s-%d", t, format, i))
		if err := os.WriteFile(from, f.data, 0o644); err != nil {
			return err
		}
		where := to[f.name]
		switch {
		case f.name == "flawless.service":
			where = "/usr/lib/systemd/system/flawless.service"
		case where == "":
			where = "/usr/share/doc/flawless/" + f.name
		}
		add(from, where, 0o644)
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "flawless", Arch: t.arch, Platform: "linux", Version: "v" + r.version, Section: "devel", Priority: "optional",
		Maintainer: maintainer, Vendor: "The Flawless authors", Description: description + "\n" + details, Homepage: homepage, License: licence, MTime: r.time,
		DisableGlobbing: true,
		Overridables:    nfpm.Overridables{Contents: contents, RPM: nfpm.RPM{Group: "Development/Tools", Summary: "Durable execution engine", BuildHost: "localhost"}},
	})
	if err := nfpm.Validate(info); err != nil {
		return err
	}
	p, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	out, err := os.Create(r.name(t.String() + "." + format))
	if err != nil {
		return err
	}
	if err := p.Package(info, out); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
