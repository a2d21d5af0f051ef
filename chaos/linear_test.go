//go:build unix

package main

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// TestModelsRefuseWhatMustNotHappen checks the models by which answers to rivals are judged.
func TestModelsRefuseWhatMustNotHappen(t *testing.T) {
	t.Parallel()
	op := func(from, to int64, in request, out answer) porcupine.Operation {
		return porcupine.Operation{Call: from, Return: to, Input: in, Output: out}
	}
	give := func(value string) request { return request{"x", "give", value} }
	look, count := request{"x", "look", ""}, request{"x", "count", ""}
	for _, row := range []struct {
		name  string
		model porcupine.Model
		ops   []porcupine.Operation
		fits  bool
	}{
		{"one of two is first", once, []porcupine.Operation{op(0, 5, give("1"), answer{}), op(1, 4, give("2"), answer{refused: true})}, true},
		{"both are first", once, []porcupine.Operation{op(0, 5, give("1"), answer{}), op(1, 4, give("2"), answer{})}, false},
		{"nobody is first", once, []porcupine.Operation{op(0, 5, give("1"), answer{refused: true}), op(1, 4, give("2"), answer{refused: true})}, false},
		{"one without an answer was first", once, []porcupine.Operation{op(0, never, give("1"), answer{lost: true}), op(1, 4, give("2"), answer{refused: true}), op(8, 9, look, answer{value: "1"})}, true},
		{"it is gone again", once, []porcupine.Operation{op(0, 5, give("1"), answer{}), op(8, 9, look, answer{})}, false},
		{"it is another one", once, []porcupine.Operation{op(0, 5, give("1"), answer{}), op(8, 9, look, answer{value: "2"})}, false},
		{"counted up", counter, []porcupine.Operation{op(0, 5, count, answer{n: 2}), op(1, 4, count, answer{n: 1}), op(8, 9, look, answer{n: 2})}, true},
		{"counted up once for two", counter, []porcupine.Operation{op(0, 5, count, answer{n: 1}), op(1, 4, count, answer{n: 1})}, false},
		{"an old state is shown", counter, []porcupine.Operation{op(0, 5, count, answer{n: 1}), op(8, 9, look, answer{n: 0})}, false},
	} {
		if fits := porcupine.CheckOperations(row.model, row.ops); fits != row.fits {
			t.Errorf("%s: it fits an order: %v", row.name, fits)
		}
	}
}
