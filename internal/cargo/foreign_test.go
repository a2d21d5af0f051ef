package cargo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnsupportedCratesAreReported checks that the report names the dependency path, and ignores dependencies of
// builds and tests.
func TestUnsupportedCratesAreReported(t *testing.T) {
	t.Parallel()
	const told = `{"packages": [{"id":"me","name":"me"},{"id":"r","name":"reqwest"},{"id":"h","name":"hyper-util"},{"id":"s","name":"sdk-of-a-shop"},{"id":"u","name":"ureq"},
		{"id":"q","name":"sqlx"},{"id":"d","name":"diesel"},{"id":"j","name":"serde"}],
	"resolve": {"root":"me", "nodes": [
		{"id":"me","deps":[{"pkg":"r","dep_kinds":[{"kind":null}]},{"pkg":"s","dep_kinds":[{"kind":null}]},{"pkg":"q","dep_kinds":[{"kind":"dev"}]},{"pkg":"d","dep_kinds":[{"kind":"build"}]},{"pkg":"j","dep_kinds":[{"kind":null},{"kind":"build"}]}]},
		{"id":"r","deps":[{"pkg":"h","dep_kinds":[{"kind":null}]}]},
		{"id":"s","deps":[{"pkg":"u","dep_kinds":[{"kind":null}]},{"pkg":"me","dep_kinds":[{"kind":null}]}]}]}}`
	var all tree
	if err := json.Unmarshal([]byte(told), &all); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(all.foreign(), "\n")
	if want := "the crate reqwest does not work in a workflow: " + needsSockets + "\nthe crate ureq (through sdk-of-a-shop) does not work in a workflow: " + needsSockets; got != want {
		t.Errorf("it is\n%s\nwant\n%s", got, want)
	}
}

func TestUnsupportedCodeIsFoundInModules(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"there is no reactor running, must be called from the context of a Tokio 1.x runtime": "tokio::spawn",
		"__wbindgen_placeholder__":            "JavaScript",
		"wasi_snapshot_preview1\x09path_open": "std::fs",
		"\x09path_open":                       "",
		threadText:                            "std::thread",
		unsupportedText:                       "std::process::Command",
		sagaText + "\x00" + "flawless_resume": "return errors",
		sagaText:                              "",
		"flawless_resume":                     "",
	} {
		got := strings.Join(betraying([]byte("\x00asm"+text)), "\n")
		if got == "" != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", text, got, want)
		}
	}
}

// TestSDKIsNotReportedAsUnsupported checks the SDK, which is in every module: a match would cause a warning in each
// build.
func TestSDKIsNotReportedAsUnsupported(t *testing.T) {
	t.Parallel()
	code, _, _ := strings.Cut(readSDK(t, "absent.rs"), "#[cfg(test)]")
	if got := betraying([]byte(code)); len(got) > 0 {
		t.Errorf("a module would be said to fail: %q", got)
	}
}

func TestTokioCompileErrorsAreExplained(t *testing.T) {
	t.Parallel()
	if got := explain("error: Only features sync,macros,io-util,rt,time are supported on wasm."); !strings.Contains(got, "tokio's features net") {
		t.Errorf("it is %q", got)
	}
	if got := explain("error[E0425]: cannot find value `sesame`"); got != "" {
		t.Errorf("an error of the code: %q", got)
	}
}

// TestOnlyGenericCodeContainsSagaMarker checks that other SDK code does not contain the marker. Without link-time
// optimisation it may be in a module that uses no sagas, and would cause a false warning.
func TestOnlyGenericCodeContainsSagaMarker(t *testing.T) {
	t.Parallel()
	text := readSDK(t, "saga.rs")
	before, after, there := strings.Cut(text, "black_box(\""+sagaText+"\")")
	if !there || strings.Contains(after, sagaText) {
		t.Fatalf("the SDK's saga.rs does not contain %q once: change sagaText with it", sagaText)
	}
	if function := before[strings.LastIndex(before, "fn "):]; !strings.HasPrefix(function, "fn saga_with<T, E>(") {
		t.Errorf("the text is in %.40q, which is not known to be generic", function)
	}
}

func readSDK(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "sdk", "rust", "flawless-sdk", "src", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
