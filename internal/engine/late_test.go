package engine

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// filler is a module of 291 bytes whose _initialize fills 200 MB of memory again and again, forever.
const filler = "AGFzbQEAAAABEwRgAABgAn9/AGAAAX9gA39/fwACJwIIZmxhd2xlc3MIZGVzY3JpYmUAAQhmbGF3bGVzcwZmaW5pc2gAAwMFBAAAAAAFAwEAAQdPBQZtZW1vcnkCAAtfaW5pdGlhbGl6ZQACEWZsYXdsZXNzX2Rlc2NyaWJlAAMOZmxhd2xlc3Nfc3RhcnQABA9mbGF3bGVzc19yZXN1bWUABQosBBoAQaAfQAAaA0BBAEEBQYCAgOQA/AsADAALCwkAQRBBygAQAAsCAAsCAAsLUAEAQRALSnsibmFtZSI6ICJib21iIiwgInZlcnNpb24iOiAiMSIsICJ3b3JrZmxvd3MiOiBbeyJuYW1lIjogIncifV0sICJzZGsiOiAieCJ9"

// TestSlowlyInitialisingModuleIsRefused: others wait to be added meanwhile, so it is not for its limit of
// units to end it, which filling memory hardly uses up.
func TestSlowlyInitialisingModuleIsRefused(t *testing.T) {
	t.Parallel()
	bin, err := base64.StdEncoding.DecodeString(filler)
	if err != nil {
		t.Fatal(err)
	}
	e := open(t, mem.New(), Options{initialising: 50 * time.Millisecond})
	_, _, err = e.AddModule(t.Context(), "late", bin, nil)
	if !errors.Is(err, flawless.Refused) || !strings.Contains(err.Error(), "initialising") {
		t.Fatalf("it is added: %v", err)
	}
	if _, _, err := e.AddModule(t.Context(), "other", nameless, nil); err != nil {
		t.Errorf("no other module can be added: %v", err)
	}
}
