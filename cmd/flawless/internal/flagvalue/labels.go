package flagvalue

import (
	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

// Labels collects labels, each written as name=value.
type Labels map[string]string

func (l *Labels) String() string { return render.Labels(*l) }

// Set implements pflag.Value.
func (l *Labels) Set(text string) error {
	name, value, err := flawless.ParseLabel(text)
	if err != nil {
		return err
	}
	if *l == nil {
		*l = Labels{}
	}
	(*l)[name] = value
	return nil
}

// Type implements pflag.Value.
func (l *Labels) Type() string { return "name=value" }
