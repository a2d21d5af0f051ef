// Package flagvalue has the types of flags that are written in a special form: sizes, durations, times, labels.
//
// They implement pflag.Value. Each refuses what it does not understand with an example of what it does.
package flagvalue

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a number of bytes, written as 1GiB, 512MiB or 65536.
type Bytes int64

var units = []struct {
	name  string
	shift int
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}}

func (s *Bytes) String() string {
	for k := len(units) - 1; k >= 0; k-- {
		if n := int64(*s); n != 0 && n&(1<<units[k].shift-1) == 0 {
			return strconv.FormatInt(n>>units[k].shift, 10) + units[k].name
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set implements pflag.Value.
func (s *Bytes) Set(text string) error {
	number, shift := text, 0
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, shift = n, u.shift
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is not a size; use a value such as 512MiB or 2GiB", text)
	}
	*s = Bytes(n << shift)
	return nil
}

// Type implements pflag.Value.
func (s *Bytes) Type() string { return "size" }

// Memory is the memory that the server may use; 0 is unlimited.
type Memory struct{ Bytes }

// DefaultMemory is the value of a flag that is not given.
var DefaultMemory = Memory{-1}

// Set implements pflag.Value.
func (m *Memory) Set(text string) error {
	err := m.Bytes.Set(text)
	if err != nil {
		err = fmt.Errorf("0 is unlimited; %w", err)
	}
	return err
}

func (m *Memory) String() string {
	if *m == DefaultMemory {
		return "half of what the machine or its container has"
	}
	return m.Bytes.String()
}

// Budget returns the value as the options of the engine have it: 0 is the default, -1 unlimited.
func (m *Memory) Budget() int64 {
	switch {
	case *m == DefaultMemory:
		return 0
	case m.Bytes == 0:
		return -1
	}
	return int64(m.Bytes)
}
