package storetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// maxKey is the limit of PostgreSQL for an entry of a B-tree.
const maxKey = 2704

// longest returns the longest text of one letter that a check accepts.
func longest(t *testing.T, check func(text string) error) string {
	t.Helper()
	for n := maxKey; n > 0; n-- {
		if text := strings.Repeat("a", n); check(text) == nil {
			return text
		}
	}
	t.Fatal("no text is accepted")
	return ""
}

// testLongestKeys writes everything under the longest names that callers may choose.
func testLongestKeys(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	s := openStore(t, kv)
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	id := longest(t, flawless.CheckID)
	key := longest(t, func(text string) error { return flawless.CheckKey("", text) })
	name := longest(t, func(text string) error { return flawless.CheckName("", text) })
	host := longest(t, func(text string) error { return (&flawless.Host{Host: text + ":12345", KeyMS: 1}).Check() }) + ":12345"
	h := store.Head{Run: flawless.Run{ID: id, Parent: id, Module: name, Workflow: longest(t, flawless.CheckWorkflowName), Status: flawless.Unresolved, Created: start,
		Queue: &flawless.QueueOptions{Key: key, Limit: 1}, Labels: map[string]string{
			longest(t, func(text string) error { return flawless.CheckLabel(text, "v") }): longest(t, func(text string) error { return flawless.CheckLabel("n", text) }),
		}}, Active: true, Wake: 1}
	write(t, s, l, store.Write{ID: id, New: true, Keyed: true, After: &h, Entries: entries(0), Data: []byte("1")})
	state := longest(t, flawless.CheckStateName)
	_, _, added := s.AddModule(t.Context(), l, flawless.Module{Name: name, Digest: strings.Repeat("0", 64)}, []byte("1"))
	if err := errors.Join(added,
		s.PutImage(t.Context(), l, id, store.Image{Seq: 1, State: []byte("s")}),
		s.PutState(t.Context(), l, state, store.State{Value: []byte("1")}),
		s.PutSchedule(t.Context(), l, name, nil, &flawless.Schedule{Name: name}),
		s.PutSettings(t.Context(), l, nil, flawless.Settings{Module: name}),
		s.PutHost(t.Context(), l, host, nil, &flawless.Host{Host: host}),
		s.PutLimit(t.Context(), l, host, nil, &flawless.Limit{Host: host}),
		s.ChangeSecrets(t.Context(), l, []store.SecretChange{{After: &flawless.SealedSecret{Secret: flawless.Secret{Name: longest(t, flawless.CheckSecretName)}}}}),
	); err != nil {
		t.Fatal(err)
	}
	const rebuilt = 9 // bytes before the keys of lists that were rebuilt
	families, most := map[byte]bool{}, 0
	for it, err := range kv.Scan(t.Context(), store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		families[it.Key[0]] = true
		if most = max(most, len(it.Key)+rebuilt); len(it.Key)+rebuilt > maxKey {
			t.Errorf("key %.40q... has %d bytes, at most %d are allowed", it.Key, len(it.Key), maxKey-rebuilt)
		}
	}
	if len(families) < 20 || most < 500 {
		t.Errorf("there are keys of %d families only, the longest has %d bytes: the test proves nothing", len(families), most)
	}
	for _, long := range []string{"a:" + strings.Repeat("0", maxKey) + "1", strings.Repeat("a.", maxKey/2) + "a"} {
		code(t, "a host of too many bytes", (&flawless.Limit{Host: long, Count: 1, PeriodMS: 1000, Burst: 1}).Check(), flawless.Invalid)
	}
}
