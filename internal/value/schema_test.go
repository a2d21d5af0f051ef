package value

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestGoSchemasAcceptOnlyDecodableValues checks that every value that matches the schema of a Go type can be decoded
// into that type, and that every encoded value matches. A test of the SDK keeps the file up to date.
func TestGoSchemasAcceptOnlyDecodableValues(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../../sdk/go/internal/schema/testdata/types.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var texts []string
	var of string
	var compiled *Schema
	refused, written := 0, 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "text":
			_, text, _ := strings.Cut(rest, " ")
			texts = append(texts, text)
		case "type":
			of = rest
		case "schema":
			if compiled, err = Compile([]byte(rest)); err != nil {
				t.Fatal(of, err)
			}
		case "writes":
			written++
			if err := Check(compiled, []byte(rest), "it"); err != nil {
				t.Errorf("%s writes %s, which is refused: %v", of, rest, err)
			}
		case "fails":
			for n := range strings.FieldsSeq(rest) {
				i, err := strconv.Atoi(n)
				if err != nil {
					t.Fatal(err)
				}
				refused++
				if err := Check(compiled, []byte(texts[i]), "it"); !errors.Is(err, flawless.Invalid) {
					t.Errorf("%s cannot be read from %s, which is taken: %v", of, texts[i], err)
				}
			}
		default:
			t.Fatalf("there is a line %.100q", lines.Text())
		}
	}
	if lines.Err() != nil || refused < 1000 || written < 50 {
		t.Errorf("%d texts that cannot be read and %d that are written: %v", refused, written, lines.Err())
	}
}

// TestNamesOfMembersAreLocated: the location of a name that does not fit is that of its object, although other members
// are checked afterwards.
func TestNamesOfMembersAreLocated(t *testing.T) {
	t.Parallel()
	s, err := Compile([]byte(`{"type":"object","properties":{"a":{"type":"object","propertyNames":{"pattern":"^[0-9]+$"}},
		"b":{"type":"object","properties":{"c":{"type":"integer"}}},"d":{"type":"integer"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for range 200 { // members are checked in any order
		err := Check(s, []byte(`{"a":{"1":1,"x":1},"b":{"c":2},"d":3}`), "it")
		bad := new(Violations)
		if !errors.As(err, &bad) || len(bad.List) != 1 || bad.List[0].Field != "a" || !strings.HasPrefix(bad.List[0].Message, `the name of member "x": `) {
			t.Fatalf("got %v", err)
		}
	}
}
