package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// bytesFlag is a number of bytes as people write it: 1GiB, 512MiB, 65536. It is a flag.
type bytesFlag int64

var units = []struct {
	name  string
	shift int
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}}

func (s *bytesFlag) String() string {
	for k := len(units) - 1; k >= 0; k-- {
		if n := int64(*s); n != 0 && n&(1<<units[k].shift-1) == 0 {
			return strconv.FormatInt(n>>units[k].shift, 10) + units[k].name
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set implements pflag.Value.
func (s *bytesFlag) Set(text string) error {
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
	*s = bytesFlag(n << shift)
	return nil
}

// Type implements pflag.Value.
func (s *bytesFlag) Type() string { return "size" }

// memoryFlag is how much memory the server should take. It is a flag.
type memoryFlag struct{ bytesFlag }

// byDefault is what --memory is where nobody says.
var byDefault = memoryFlag{-1}

func (m *memoryFlag) String() string {
	if *m == byDefault {
		return "half of what the machine or its container has"
	}
	return m.bytesFlag.String()
}

// budget is the flag as the engine's options have it.
func (m *memoryFlag) budget() int64 {
	switch {
	case *m == byDefault:
		return 0
	case m.bytesFlag == 0:
		return -1
	}
	return int64(m.bytesFlag)
}
