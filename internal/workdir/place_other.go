//go:build !unix && !windows

package workdir

// placeOf returns an unknown identity, so copies are not detected on this system.
func placeOf(string) (place, error) { return place{}, nil }

func syncDir(string) error { return nil }
