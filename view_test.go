package flawless_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestViewsHaveLimits: a view is refused if it is too long, or has what a terminal or a page would act on.
func TestViewsHaveLimits(t *testing.T) {
	t.Parallel()
	good := flawless.View{Name: "Zahlungen, die hängen", Page: "runs", Query: "status=failed&label=a%3Db"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(v *flawless.View){
		func(v *flawless.View) { v.Name = "" },
		func(v *flawless.View) { v.Name = strings.Repeat("x", 101) },
		func(v *flawless.View) { v.Name = "a\x1b[2J" },
		func(v *flawless.View) { v.Name = "a\xff" },
		func(v *flawless.View) { v.Page = "" },
		func(v *flawless.View) { v.Page = "../runs" },
		func(v *flawless.View) { v.Query = strings.Repeat("x", 4001) },
		func(v *flawless.View) { v.Query = "a\nb" },
	} {
		v := good
		if change(&v); !errors.Is(v.Check(), flawless.Invalid) {
			t.Errorf("%+.60v is accepted", v)
		}
	}
}
