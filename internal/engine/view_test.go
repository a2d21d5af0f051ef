package engine

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestViewsOfSeveralEngines: what one engine saves, the others show; changes of the same view at once lose none of the
// others; and there is a limit.
func TestViewsOfSeveralEngines(t *testing.T) {
	t.Parallel()
	_, _, all := several(t, 2, Options{})
	set := func(e *Engine, name string) error {
		return e.Views().Set(t.Context(), flawless.View{Name: name, Page: "runs", Query: "module=m"})
	}
	var together sync.WaitGroup
	for i := range 20 {
		together.Go(func() {
			for _, name := range []string{"shared", fmt.Sprint("of-", i%10)} {
				if err := set(all[i%2], name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	together.Wait()
	if views, err := all[1].Views().List(t.Context()); err != nil || len(views) != 11 || views[10].Name != "shared" {
		t.Errorf("the views are %v, %v", views, err)
	}
	if err := all[0].Views().Remove(t.Context(), "shared"); err != nil {
		t.Error(err)
	}
	if err := all[1].Views().Remove(t.Context(), "shared"); !errors.Is(err, flawless.NotFound) {
		t.Errorf("removed twice: %v", err)
	}
	for i := range flawless.MaxViews - 10 {
		if err := set(all[0], fmt.Sprint("more-", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := set(all[1], "one too many"); !errors.Is(err, flawless.TooLarge) {
		t.Errorf("one too many: %v", err)
	}
	if err := set(all[1], "of-1"); err != nil {
		t.Errorf("an existing one cannot be changed any more: %v", err)
	}
}
