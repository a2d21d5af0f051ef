package store

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Changes tells in which state the settings, limits, secrets and modules were when it was read: compare it with a later one
// to find out what has changed since.
type Changes map[Changed]string

// Changed is something that [Changes] tells apart.
type Changed = key.Family

// What can change.
const (
	ChangedModules  = key.Version
	ChangedSettings = key.Settings
	ChangedHosts    = key.Host
	ChangedLimits   = key.Limit
	ChangedSecrets  = key.Secret
)

// Changes reads all of them in one scan. Read what has changed after it.
func (s *Store) Changes(ctx context.Context) (Changes, error) {
	c := Changes{}
	for item, err := range s.kv.Scan(ctx, withPrefix(key.Change.Key())) {
		if err != nil {
			return nil, fmt.Errorf("reading what has changed: %w", err)
		}
		p := key.Split(item.Key, 1)
		f := p.Text()
		if err := p.Whole(item.Key); err != nil {
			return nil, fmt.Errorf("reading what has changed: %w", err)
		}
		if len(f) == 1 {
			c[Changed(f[0])] = string(item.Value)
		}
	}
	return c, nil
}

// changed notes that something of a family is another one after the batch. The number is drawn: two servers that change
// different things at once need not know of each other, and whoever has seen neither, or one of the two, sees another number.
func (d *draft) changed(c codec.Codec, f Changed) error {
	return d.set(c, key.Change.Key().Text(string(rune(f))), rand.Uint64())
}
