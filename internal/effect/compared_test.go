package effect

import (
	"reflect"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestEveryHeadMemberIsClassified checks that replay knows for each member of a head whether to compare it.
func TestEveryHeadMemberIsClassified(t *testing.T) {
	t.Parallel()
	heads := map[string]any{HTTP: httpHead{}, Sleep: sleepHead{}, Cancelled: struct{}{}, Spawn: SpawnHead{}, Await: AwaitHead{}, Send: SendHead{}, Receive: ReceiveHead{},
		Reply: struct {
			Message string `json:"message"`
		}{}, Withdraw: WithdrawHead{}, Promise: PromiseHead{}, State: StateHead{}, Doubt: DoubtHead{}, Read: ReadHead{}, Secret: secretHead{}}
	for _, k := range Kinds(Options{}) {
		head, logged := heads[k.Name]
		if !logged {
			if k.Name != Log && k.Name != Data && k.Name != Label { // logs have no such calls
				t.Errorf("the test lacks the head of kind %s", k.Name)
			}
			continue
		}
		for i := range reflect.TypeOf(head).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(head).Field(i).Tag.Get("json"), ",")
			if _, known := flawless.Compared(k.Name, name); !known {
				t.Errorf("it is not specified whether member %q of a call of kind %s is compared", name, k.Name)
			}
		}
	}
}
