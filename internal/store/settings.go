package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Settings returns the settings of all modules that have any, sorted by name.
func (s *Store) Settings(ctx context.Context) ([]flawless.Settings, error) {
	var all []flawless.Settings
	for item, err := range s.kv.Scan(ctx, withPrefix(key.Settings.Key())) {
		var one flawless.Settings
		if err == nil {
			err = s.codec.Decode(item.Value, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("reading settings: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

// PutSettings stores the settings of a module. before is the stored settings, or nil if there are none. It returns
// [flawless.Fenced] if l owns no shard any more, and [flawless.Conflict] if other settings are stored. A crash in the
// middle leaves the old or the new settings.
func (s *Store) PutSettings(ctx context.Context, l *Lease, before *flawless.Settings, after flawless.Settings) error {
	err := s.underAny(ctx, l, func(d *draft) error {
		if err := change(s.codec, d, key.Settings.Key().Text(after.Module), before, &after); err != nil {
			return err
		}
		return d.changed(s.codec, ChangedSettings)
	})
	if err != nil {
		return fmt.Errorf("writing the settings of module %s: %w", after.Module, err)
	}
	return nil
}

// ModulesWithRuns returns the names of the modules that have runs.
func (s *Store) ModulesWithRuns(ctx context.Context) ([]string, error) {
	prefix := key.Workflow.Key()
	found, err := s.branches(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("listing the modules of runs: %w", err)
	}
	names := make([]string, len(found))
	for i, k := range found {
		p := key.Split(k, len(prefix))
		names[i] = p.Text()
	}
	return names, nil
}
