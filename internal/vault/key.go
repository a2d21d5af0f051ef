package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Variable is the environment variable with the keys, used if there is no key file.
const Variable = "FLAWLESS_SECRET_KEY"

// FileName is the name of the key file in the working directory.
const FileName = "secret.key"

const keySize = 32

// ring holds the available keys. The first one encrypts, all of them decrypt.
type ring struct {
	keys []sealer
	file string // "" where the keys come from the environment
}

// sealer is one key.
type sealer struct {
	id   string
	text string // base64
	aead cipher.AEAD
}

func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("preparing a key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("preparing a key: %w", err)
	}
	sum := sha256.Sum256(append([]byte("flawless secret key id"), key...))
	return sealer{id: hex.EncodeToString(sum[:6]), text: base64.StdEncoding.EncodeToString(key), aead: aead}, nil
}

func randomSealer() (sealer, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return newSealer(key)
}

// parseKeys parses keys, newest first. where names their source in errors.
func parseKeys(where string, texts []string) ([]sealer, error) {
	var keys []sealer
	for i, text := range texts {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) != keySize {
			if b, err = hex.DecodeString(text); err != nil || len(b) != keySize {
				return nil, fmt.Errorf("key %d of %s is not %d bytes in base64 or hexadecimal; make one with: openssl rand -base64 %d: %w", i+1, where, keySize, keySize, flawless.Invalid)
			}
		}
		s, err := newSealer(b)
		if err != nil {
			return nil, err
		}
		keys = append(keys, s)
	}
	return keys, nil
}

// openRing reads the keys from the environment or else from the file in a directory. There may be none.
func openRing(dir, env string) (ring, error) {
	if env != "" {
		keys, err := parseKeys(Variable, strings.Split(env, ","))
		if err == nil && len(keys) == 0 {
			err = fmt.Errorf("%s has no key: %w", Variable, flawless.Invalid)
		}
		return ring{keys: keys}, err
	}
	r := ring{file: filepath.Join(dir, FileName)}
	info, err := os.Stat(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("looking for the key of secrets: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return r, fmt.Errorf("the key of secrets is accessible to other users, %s has mode %04o: run chmod 600 %s, and consider the secrets compromised: %w", r.file, mode, r.file, flawless.Refused)
	}
	b, err := os.ReadFile(r.file)
	if err != nil {
		return r, fmt.Errorf("reading the key of secrets: %w", err)
	}
	r.keys, err = parseKeys(r.file, strings.Split(string(b), "\n"))
	if err == nil && len(r.keys) == 0 {
		err = fmt.Errorf("%s has no key: restore it, or remove the file and set all secrets again: %w", r.file, flawless.Damaged)
	}
	return r, err
}

// write replaces the key file. After a crash, either the old or the new file is there.
func (r *ring) write(keys []sealer) (err error) {
	var text strings.Builder
	for _, k := range keys {
		text.WriteString(k.text + "\n")
	}
	dir := filepath.Dir(r.file)
	f, err := os.CreateTemp(dir, ".secret-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("writing the key of secrets: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("writing the key of secrets: %w", err)
		}
	}()
	_, err = f.WriteString(text.String())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), r.file)
	}
	if err != nil {
		return err
	}
	r.keys = keys
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// find returns the key with an id.
func (r *ring) find(id string) (sealer, bool) {
	for _, k := range r.keys {
		if k.id == id {
			return k, true
		}
	}
	return sealer{}, false
}
