package value

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// narrower lists why a value may be refused although serde can read it. Each text occurs in the error or in the value.
var narrower = []struct{ text, because string }{
	{"want object", "a struct is written as an object, not as an array"},
	{"is not written as an integer", "integers are written in one way"},
	{"'-0' does not match", "integers are written in one way"},
	{"is not valid float", "it would become infinite"},
	{"are equal", "schemars says that the items of a set differ"},
	{"only in case", "Go would take it for the other member"},
	{"is written with an escape", "a number or boolean as the key of a map must not be"},
	{`":1.7976931348623158e308`, "a member is checked even if the type ignores it"},
	{"too close to zero", "it would become zero"},
	{"appears twice", "decoders disagree about it"},
	{`{"Plain":null}`, "a variant without a value is written as a string"},
	{`{"S":null}`, "a variant without a value is written as a string"},
	{`"medium"`, "schemars does not know other names of variants"},
}

func isNarrower(text string, err error) bool {
	for _, n := range narrower {
		if strings.Contains(text, n.text) || strings.Contains(err.Error(), n.text) {
			return true
		}
	}
	return false
}

// TestRustSchemasMatchSerde checks the schemas that the Rust SDK derives, with and without schemars,
// against what serde_json reads into each type. A test of the SDK keeps the file up to date.
func TestRustSchemasMatchSerde(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../../sdk/rust/flawless-sdk/testdata/types.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type text struct {
		text  string
		value any
		err   error // from Parse
	}
	var texts []text
	var of string
	schemas := map[string]*Schema{}
	refusal := func(s *Schema, x text) error {
		if x.err != nil {
			return x.err
		}
		return s.compiled.Validate(x.value)
	}
	checked := 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "text":
			_, rest, _ = strings.Cut(rest, " ")
			v, err := Parse([]byte(rest))
			texts = append(texts, text{rest, v, err})
		case "type":
			of = rest
			clear(schemas)
		case "serde", "schemars":
			if schemas[word], err = Compile([]byte(rest)); err != nil {
				t.Fatal(of, err)
			}
		case "writes":
			for by, s := range schemas {
				if err := Check(s, []byte(rest), "it"); err != nil {
					t.Errorf("%s by %s writes %s, which is refused: %v", of, by, rest, err)
				}
			}
		case "reads":
			read := strings.Fields(rest)
			for i, x := range texts {
				reads := slices.Contains(read, strconv.Itoa(i))
				for by, s := range schemas {
					checked++
					switch err := refusal(s, x); {
					case !reads && err == nil:
						t.Errorf("%s by %s accepts %s, which serde cannot read", of, by, x.text)
					case reads && err != nil && !isNarrower(x.text, err):
						t.Errorf("%s by %s refuses %s, which serde reads: %v", of, by, x.text, err)
					}
				}
			}
		default:
			t.Fatalf("unexpected line %.100q", lines.Text())
		}
	}
	if lines.Err() != nil || checked < 50_000 {
		t.Errorf("checked %d values: %v", checked, lines.Err())
	}
}
