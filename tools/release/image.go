package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Media types and layout: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// user is the user id in the container, which the host does not use.
const user = 65532

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// blobs are the parts of an image by their hash.
type blobs []file

func (b *blobs) add(mediaType string, data []byte) descriptor {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	*b = append(*b, file{name: "blobs/sha256/" + digest, data: data})
	return descriptor{MediaType: mediaType, Digest: "sha256:" + digest, Size: len(data)}
}

func (b *blobs) addJSON(mediaType string, v any) (descriptor, error) {
	data, err := json.Marshal(v)
	return b.add(mediaType, data), err
}

// image writes an OCI archive with an image for each Linux architecture. An image contains the binary and the root
// certificates that browsers trust, but no shell.
func (r *release) image() error {
	var parts blobs
	var images []descriptor
	for _, t := range targets {
		if t.system != "linux" {
			continue
		}
		program, err := os.ReadFile(r.binary(t))
		if err != nil {
			return err
		}
		d, err := r.imageOf(&parts, t, program)
		if err != nil {
			return err
		}
		images = append(images, d)
	}
	index, err := parts.addJSON(mediaIndex, map[string]any{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": images, "annotations": r.annotations()})
	if err != nil {
		return err
	}
	index.Annotations = map[string]string{"org.opencontainers.image.ref.name": r.version}
	top, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []descriptor{index}})
	if err != nil {
		return err
	}
	files := append([]file{{name: "oci-layout", data: []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {name: "index.json", data: top}}, parts...)
	var out bytes.Buffer
	if err := writeTar(&out, files, r.time); err != nil {
		return err
	}
	return os.WriteFile(r.name("oci.tar"), out.Bytes(), 0o644)
}

func (r *release) imageOf(parts *blobs, t target, program []byte) (descriptor, error) {
	files := []file{
		{name: "usr/", mode: 0o755}, {name: "usr/bin/", mode: 0o755},
		{name: "usr/bin/flawless", data: program, mode: 0o755},
		{name: "etc/", mode: 0o755}, {name: "etc/ssl/", mode: 0o755}, {name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", data: authorities()},
		{name: "etc/passwd", data: []byte("root:x:0:0:root:/:/nonexistent\nflawless:x:65532:65532:flawless:/data:/nonexistent\n")},
		{name: "etc/group", data: []byte("root:x:0:\nflawless:x:65532:\n")},
		{name: "tmp/", mode: 0o1777},
		{name: "data/", mode: 0o700, owner: user},
		{name: "usr/share/", mode: 0o755}, {name: "usr/share/doc/", mode: 0o755}, {name: "usr/share/doc/flawless/", mode: 0o755},
		{name: "usr/share/doc/flawless/THIRD_PARTY_LICENSES", data: r.third},
	}
	for _, f := range r.files {
		if f.name == "LICENSE" {
			files = append(files, file{name: "usr/share/doc/flawless/LICENSE", data: f.data})
		}
	}
	var plain bytes.Buffer
	if err := writeTar(&plain, files, r.time); err != nil {
		return descriptor{}, err
	}
	layer, err := tarball(files, r.time)
	if err != nil {
		return descriptor{}, err
	}
	unpacked := sha256.Sum256(plain.Bytes())
	config, err := parts.addJSON(mediaConfig, map[string]any{
		"created": r.time.Format(time.RFC3339), "architecture": t.arch, "os": t.system,
		"config": map[string]any{
			"User": "65532:65532", "WorkingDir": "/data", "StopSignal": "SIGTERM",
			"Entrypoint": []string{"/usr/bin/flawless"}, "Cmd": []string{"up"},
			"Env":          []string{"PATH=/usr/bin", "HOME=/data", "FLAWLESS_WORKING_DIR=/data"},
			"Volumes":      map[string]any{"/data": map[string]any{}},
			"ExposedPorts": map[string]any{"27288/tcp": map[string]any{}, "27288/udp": map[string]any{}},
			"Labels":       r.annotations(),
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(unpacked[:])}},
		"history": []any{map[string]any{"created": r.time.Format(time.RFC3339), "created_by": "flawless " + r.version}},
	})
	if err != nil {
		return descriptor{}, err
	}
	d, err := parts.addJSON(mediaManifest, map[string]any{"schemaVersion": 2, "mediaType": mediaManifest, "config": config,
		"layers": []descriptor{parts.add(mediaLayer, layer)}, "annotations": r.annotations()})
	d.Platform = map[string]string{"os": t.system, "architecture": t.arch}
	return d, err
}

func (r *release) annotations() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         "flawless",
		"org.opencontainers.image.description":   description,
		"org.opencontainers.image.version":       r.version,
		"org.opencontainers.image.revision":      r.commit,
		"org.opencontainers.image.created":       r.time.Format(time.RFC3339),
		"org.opencontainers.image.source":        homepage,
		"org.opencontainers.image.licenses":      licence,
		"org.opencontainers.image.documentation": homepage + "/blob/v" + r.version + "/docs/operate/install.md",
	}
}

// authorities returns the root certificates for the calls of workflows.
func authorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
	}
	return b.Bytes()
}
