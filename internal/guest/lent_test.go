package guest

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestTurnOutputIsNotGuestMemory overwrites the whole memory of a guest after each turn. What the turn
// brought forth must not change.
func TestTurnOutputIsNotGuestMemory(t *testing.T) {
	t.Parallel()
	i := begin(t, load(t, Options{}), "fan", 1)
	defer i.Release()
	text := func(o Out) string {
		b, _ := json.Marshal(o)
		return string(b)
	}
	calls, lines, data := 0, 0, 0
	for in := (In{Time: began}); ; {
		out := turn(t, i, in)
		want := text(out)
		memory, _ := i.mod.Memory().Read(0, i.mod.Memory().Size())
		before := bytes.Clone(memory)
		for k := range memory {
			memory[k] = '1' // which is JSON as well
		}
		if got := text(out); got != want {
			t.Errorf("the output of a turn changed when the guest's memory was overwritten, from\n%s\nto\n%s", want, got)
		}
		copy(memory, before)
		calls, lines, data = calls+len(out.Calls), lines+len(out.Lines), data+len(out.Data)
		if out.Ended != nil {
			break
		}
		in.Time += 1000
		in.Answers = nil
		for k := len(out.Calls) - 1; k >= 0; k-- {
			in.Answers = append(in.Answers, reply(out.Calls[k]))
		}
		if len(in.Answers) == 0 {
			in.Time = out.Wake
		}
	}
	if calls == 0 || lines == 0 || data == 0 {
		t.Errorf("%d calls, %d lines and %d bytes of data: the test needs some of each", calls, lines, data)
	}
}
