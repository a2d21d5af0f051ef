package flagvalue

import (
	"fmt"
	"math"
	"strconv"
)

// MaxInt is the highest value of numbers that have no limit of their own, such as the number of a call.
const MaxInt = math.MaxInt32

// Int is a whole number within limits.
type Int struct {
	value           *int
	lowest, highest int
}

// NewInt returns the value of a flag that sets *n, and sets *n to the default. The default stands for a flag that is
// not given, so it may be outside of the limits.
func NewInt(n *int, byDefault, lowest, highest int) *Int {
	*n = byDefault
	return &Int{n, lowest, highest}
}

func (i *Int) String() string { return strconv.Itoa(*i.value) }

// Set implements pflag.Value.
func (i *Int) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < i.lowest || n > i.highest {
		return fmt.Errorf("%q is not a whole number from %d to %d", text, i.lowest, i.highest)
	}
	*i.value = n
	return nil
}

// Type implements pflag.Value.
func (i *Int) Type() string { return "int" }
