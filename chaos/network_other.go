//go:build unix && !linux

package main

import (
	"context"
	"errors"
	"net"
)

// network needs network namespaces, which only Linux has.
type network struct{}

type machine struct{ at string }

func newNetwork(context.Context) (*network, error) {
	return nil, errors.New("network namespaces need Linux")
}

func (*network) host() string                               { return "" }
func (*network) add(context.Context, int) (*machine, error) { return nil, nil }
func (*network) close(int)                                  {}
func (*network) listen() (net.Listener, error)              { return nil, nil }
func (*machine) within() []string                           { return nil }

var partitions []attack
