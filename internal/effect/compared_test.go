package effect

import (
	"reflect"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestEveryHeadMemberIsClassified: a replay has to know of each member whether it says what is asked for.
func TestEveryHeadMemberIsClassified(t *testing.T) {
	t.Parallel()
	heads := map[string]any{HTTP: httpHead{}, Sleep: sleepHead{}, Cancelled: struct{}{}, Spawn: SpawnHead{}, Await: AwaitHead{}, Send: SendHead{}, Receive: ReceiveHead{},
		Reply: struct {
			Message string `json:"message"`
		}{}, Withdraw: WithdrawHead{}, Promise: PromiseHead{}, State: StateHead{}, Doubt: DoubtHead{}, Read: ReadHead{}, Secret: secretHead{}}
	for _, k := range Kinds(Options{}) {
		head, logged := heads[k.Name]
		if !logged {
			if k.Name != Log && k.Name != Data && k.Name != Label { // they are no calls in a log
				t.Errorf("kind %s has no head here", k.Name)
			}
			continue
		}
		for i := range reflect.TypeOf(head).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(head).Field(i).Tag.Get("json"), ",")
			if _, known := flawless.Compared(k.Name, name); !known {
				t.Errorf("nobody has said whether member %q of a call of kind %s is compared", name, k.Name)
			}
		}
	}
}
