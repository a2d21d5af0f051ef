package daemon

import (
	"errors"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestDescriptorsAreDivided(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{128, 200, 256, 1024, 4096, 20_000, 1 << 20} {
		d, err := share(limit)
		left := limit - d.store - d.clients - d.calls
		if err != nil || d.store < storeDescriptors || d.store > 1000 || d.clients < 8 || d.calls < 8 || left < 32 {
			t.Errorf("of %d: %+v, %d left over, %v", limit, d, left, err)
		}
	}
	if _, err := share(127); !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), "ulimit") {
		t.Errorf("too few: %v", err)
	}
	if d, err := share(0); err != nil || d != (descriptors{}) {
		t.Errorf("no limit: %+v, %v", d, err)
	}
}
