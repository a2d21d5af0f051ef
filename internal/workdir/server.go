package workdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flawless-engine/flawless"
)

const (
	serverName   = "server.json"
	serverFormat = 1
)

// Server says where the server of a working directory listens.
type Server struct {
	Format int    `json:"format"`
	Store  string `json:"store"` // id of its store, to distinguish it from another server at the same address
	Host   string `json:"host"`  // machine name
	PID    int    `json:"pid"`
	UDP    string `json:"udp"` // address of HTTP/3
	TCP    string `json:"tcp"` // of HTTP/1.1 and HTTP/2

	File place `json:"file"` // this file: a copy of the directory has no server
}

// Announce writes the addresses of a server into its directory, for commands of the same user. The caller holds the
// lock of the store. withdraw removes them. After a crash they stay; commands notice that the server does not answer,
// or that another one does.
func Announce(dir string, s Server) (withdraw func() error, err error) {
	path := filepath.Join(dir, serverName)
	if err := announce(dir, s); err != nil {
		return nil, fmt.Errorf("writing the addresses of the server: %w", err)
	}
	return func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the addresses of the server: %w", err)
		}
		return nil
	}, nil
}

func announce(dir string, s Server) error {
	s.Format, s.PID = serverFormat, os.Getpid()
	s.Host, _ = os.Hostname()
	return replace(dir, serverName, &s, func(temp string) (err error) {
		s.File, err = placeOf(temp)
		return err
	})
}

// FindServer returns the server that a directory announces, or nil. The server may no longer run.
func FindServer(dir string) (*Server, error) {
	path := filepath.Join(dir, serverName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the address of the server of %s: %v; give it with --socket: %w", dir, err, flawless.Invalid)
	}
	s := &Server{}
	if json.Unmarshal(text, s) != nil || s.Format != serverFormat {
		return nil, fmt.Errorf("%s has a format that this version of flawless (%s) does not know; give the address of the server with --socket: %w", path, flawless.Version, flawless.Invalid)
	}
	if at, err := placeOf(path); err != nil || !s.File.is(at) {
		return nil, nil // a copy
	}
	return s, nil
}
