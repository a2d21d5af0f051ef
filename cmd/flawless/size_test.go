package main

import "testing"

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bytesFlag{"0": 0, "65537": 65537, "1KiB": 1 << 10, "512MiB": 512 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		var s bytesFlag
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
		if s.String() != text {
			t.Errorf("%s becomes %s", text, s.String())
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1.5GiB", "1GB", "9999999999GiB", "1 2"} {
		if err := new(bytesFlag).Set(text); err == nil {
			t.Errorf("%q is taken for a size", text)
		}
	}
}
