package flagvalue

import (
	"testing"
)

func TestBytesFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Bytes{"0": 0, "65537": 65537, "1KiB": 1 << 10, "512MiB": 512 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		var s Bytes
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
		if s.String() != text {
			t.Errorf("%s becomes %s", text, s.String())
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1.5GiB", "1GB", "9999999999GiB", "1 2"} {
		if err := new(Bytes).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestMemoryFlag(t *testing.T) {
	t.Parallel()
	m := DefaultMemory
	if m.Budget() != 0 || m.String() == "-1" {
		t.Errorf("the default is %d, %s", m.Budget(), m.String())
	}
	for text, want := range map[string]int64{"0": -1, "1GiB": 1 << 30} {
		m := DefaultMemory
		if err := m.Set(text); err != nil || m.Budget() != want || m.String() != text {
			t.Errorf("%s is %d, %s, %v", text, m.Budget(), m.String(), err)
		}
	}
}
