package workdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	nodeName   = "node.json"
	nodeFormat = 1
)

// nodeFile says which node of a cluster used a working directory last.
type nodeFile struct {
	Format int    `json:"format"`
	Node   string `json:"node"` // its id
	File   fileID `json:"file"` // this file: in a copy of the directory it says nothing
}

// NoteNode notes that the node with an id uses a directory from now on. The caller holds the directory, see [Hold]. After a
// crash, the old or the new note is there.
func NoteNode(dir, id string) error {
	n := nodeFile{Format: nodeFormat, Node: id}
	err := replace(dir, nodeName, &n, func(temp string) (err error) {
		n.File, err = fileIDOf(temp)
		return err
	})
	if err != nil {
		return fmt.Errorf("noting the node of the working directory: %w", err)
	}
	return nil
}

// LastNode returns the id of the node that used a directory last, or "" if it is not known for certain, for instance because
// the directory is a copy. If the caller holds the directory for sure, that node has ended.
func LastNode(dir string) (string, error) {
	path := filepath.Join(dir, nodeName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the last node of the working directory: %w", err)
	}
	n := nodeFile{}
	at, err := fileIDOf(path)
	if json.Unmarshal(text, &n) != nil || n.Format != nodeFormat || err != nil || n.File.Inode == 0 || !n.File.is(at) {
		return "", nil // the lease of that node has to be waited for
	}
	return n.Node, nil
}

// ForgetNode removes the note of a node that has left.
func ForgetNode(dir string) error {
	if err := os.Remove(filepath.Join(dir, nodeName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the note of the working directory's node: %w", err)
	}
	return nil
}
