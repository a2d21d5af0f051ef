package engine

import (
	"context"
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

// TestEngineWorksWhileModuleIsCompiled holds a module in the middle of being added: runs start and complete, also with a
// module that has to be loaded first, and the engine stops without it.
func TestEngineWorksWhileModuleIsCompiled(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	if _, _, err := e.AddModule(t.Context(), "small", nameless, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, _ = reopen(t, kv, Options{}); e == nil {
		t.Fatal("it does not open again")
	}
	t.Cleanup(e.Kill)
	bin, err := base64.StdEncoding.DecodeString(filler)
	if err != nil {
		t.Fatal(err)
	}
	began, goOn, added := make(chan bool), make(chan bool), make(chan error, 1)
	go func() {
		_, _, err := e.AddModule(t.Context(), "late", bin, func(stage string, done float64) {
			if stage == "compiling" && done == 0 {
				began <- true
				<-goOn
			}
		})
		added <- err
	}()
	<-began
	if h := e.Health(); h.State != "ok" {
		t.Errorf("the health is %+v", h)
	}
	mustEnd(t, e, mustStart(t, e, "empty", nil, "while").ID)
	if r, _, err := e.Start(t.Context(), Start{Module: "small", Workflow: "w"}); err != nil {
		t.Errorf("a run with a module that has to be loaded: %v", err)
	} else {
		mustEnd(t, e, r.ID)
	}
	closed := make(chan error, 1)
	go func() { closed <- e.Close(context.Background()) }()
	<-e.life.Turns.Done()
	close(goOn)
	if err := <-closed; err != nil {
		t.Errorf("stopping: %v", err)
	}
	if err := <-added; !errors.Is(err, flawless.Stopping) {
		t.Errorf("adding the module: %v, want %s", err, flawless.Stopping)
	}
}
