package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"skill"
	"skill/store"
)

type object = map[string]any

var noon = time.Date(2025, 4, 3, 12, 0, 0, 0, time.UTC)

// shop is a store with a clock that stands still until it is moved.
type shop struct {
	*testing.T
	kept store.Store
	time time.Time
}

func newShop(t *testing.T) *shop {
	s := &shop{T: t, time: noon}
	s.kept = store.Store{Folder: t.TempDir(), MaxEntries: 3, MaxValue: 2000, Now: func() time.Time { return s.time }}
	return s
}

func (s *shop) gives(inputs, outputs object) {
	s.Helper()
	got, err := skill.Answer(s.kept, inputs)
	if err != nil || !reflect.DeepEqual(got, outputs) {
		s.Fatalf("%v gave %v and the error %v, not %v", inputs, got, err, outputs)
	}
}

func (s *shop) fails(inputs object, code, message string) {
	s.Helper()
	_, err := skill.Answer(s.kept, inputs)
	coded, ok := err.(interface{ Code() string })
	if !ok || coded.Code() != code || !strings.Contains(err.Error(), message) {
		s.Fatalf("%v gave the error %v, not %s: %s", inputs, err, code, message)
	}
}

func TestWhatIsSetIsThereInTheNextCall(t *testing.T) {
	s := newShop(t)
	s.gives(object{"action": "set", "key": "a", "value": object{"b": []any{1.0}}}, object{"key": "a", "version": 1, "created": true})
	s.gives(object{"action": "get", "key": "a"}, object{"key": "a", "found": true, "value": object{"b": []any{1.0}}, "version": 1})
	s.gives(object{"action": "set", "key": "a", "value": nil}, object{"key": "a", "version": 2, "created": false})
	s.gives(object{"action": "get", "key": "a", "default": 1.0}, object{"key": "a", "found": true, "value": nil, "version": 2})
}

func TestAKeyThatIsNotThereHasTheDefault(t *testing.T) {
	s := newShop(t)
	s.gives(object{"action": "get", "key": "a"}, object{"key": "a", "found": false})
	s.gives(object{"action": "get", "key": "a", "default": "x"}, object{"key": "a", "found": false, "value": "x"})
}

func TestDeletingTellsWhetherThereWasOne(t *testing.T) {
	s := newShop(t)
	s.gives(object{"action": "delete", "key": "a"}, object{"key": "a", "deleted": false})
	s.gives(object{"action": "set", "key": "a", "value": 1.0}, object{"key": "a", "version": 1, "created": true})
	s.gives(object{"action": "delete", "key": "a"}, object{"key": "a", "deleted": true})
	s.gives(object{"action": "get", "key": "a"}, object{"key": "a", "found": false})
}

func TestAKeyEndsWithItsTime(t *testing.T) {
	s := newShop(t)
	s.gives(object{"action": "set", "key": "a", "value": 1.0, "ttl": 10.0}, object{"key": "a", "version": 1, "created": true})
	s.time = noon.Add(9 * time.Second)
	s.gives(object{"action": "get", "key": "a"}, object{"key": "a", "found": true, "value": 1.0, "version": 1, "expires": "2025-04-03T12:00:10Z"})
	s.time = noon.Add(10 * time.Second)
	s.gives(object{"action": "get", "key": "a"}, object{"key": "a", "found": false})
	s.gives(object{"action": "list"}, object{"entries": []any{}, "total": 0})
	s.gives(object{"action": "set", "key": "a", "value": 2.0, "if_version": 0.0}, object{"key": "a", "version": 1, "created": true})
	s.gives(object{"action": "get", "key": "a"}, object{"key": "a", "found": true, "value": 2.0, "version": 1})
}

func TestTimesToLiveHaveBounds(t *testing.T) {
	s := newShop(t)
	for _, ttl := range []float64{-1, 0.5, 1e9 + 1} {
		s.fails(object{"action": "set", "key": "a", "value": 1.0, "ttl": ttl}, "invalid-inputs", "ttl is between 1 and")
		s.fails(object{"action": "increment", "key": "a", "ttl": ttl}, "invalid-inputs", "ttl is between 1 and")
	}
	for _, ttl := range []float64{1, 1e9} {
		s.gives(object{"action": "set", "key": fmt.Sprint(ttl), "value": 1.0, "ttl": ttl}, object{"key": fmt.Sprint(ttl), "version": 1, "created": true})
	}
}

func TestCompareAndSwap(t *testing.T) {
	s := newShop(t)
	s.fails(object{"action": "set", "key": "a", "value": 1.0, "if_version": 1.0}, "conflict", "does not exist")
	s.gives(object{"action": "set", "key": "a", "value": 1.0, "if_version": 0.0}, object{"key": "a", "version": 1, "created": true})
	s.fails(object{"action": "set", "key": "a", "value": 2.0, "if_version": 0.0}, "conflict", "exists already")
	s.fails(object{"action": "delete", "key": "a", "if_version": 2.0}, "conflict", "another version")
	s.gives(object{"action": "set", "key": "a", "value": 2.0, "if_version": 1.0}, object{"key": "a", "version": 2, "created": false})
	s.gives(object{"action": "delete", "key": "a", "if_version": 2.0}, object{"key": "a", "deleted": true})
}

func TestCountingUp(t *testing.T) {
	s := newShop(t)
	s.gives(object{"action": "increment", "key": "n", "ttl": 5.0}, object{"key": "n", "value": 1.0, "version": 1, "expires": "2025-04-03T12:00:05Z"})
	s.gives(object{"action": "increment", "key": "n", "by": -2.5}, object{"key": "n", "value": -1.5, "version": 2, "expires": "2025-04-03T12:00:05Z"})
	s.gives(object{"action": "increment", "key": "n", "ttl": 9.0}, object{"key": "n", "value": -0.5, "version": 3, "expires": "2025-04-03T12:00:09Z"})
	s.time = noon.Add(9 * time.Second)
	s.gives(object{"action": "increment", "key": "n"}, object{"key": "n", "value": 1.0, "version": 1})
	s.gives(object{"action": "set", "key": "n", "value": "x"}, object{"key": "n", "version": 2, "created": false})
	s.fails(object{"action": "increment", "key": "n"}, "not-a-number", "no number")
	s.gives(object{"action": "set", "key": "n", "value": 1e308}, object{"key": "n", "version": 3, "created": false})
	s.fails(object{"action": "increment", "key": "n", "by": 1e308}, "not-a-number", "too large")
}

func TestListingByPrefix(t *testing.T) {
	s := newShop(t)
	for _, key := range []string{"b:2", "a", "b:1"} {
		s.gives(object{"action": "set", "key": key, "value": key + "!"}, object{"key": key, "version": 1, "created": true})
	}
	one, two := object{"key": "b:1", "value": "b:1!", "version": 1}, object{"key": "b:2", "value": "b:2!", "version": 1}
	s.gives(object{"action": "list", "prefix": "b:"}, object{"entries": []any{one, two}, "total": 2})
	s.gives(object{"action": "list", "prefix": "b:", "limit": 1.0}, object{"entries": []any{one}, "total": 2})
	s.gives(object{"action": "list", "prefix": "b:", "after": "b:1"}, object{"entries": []any{two}, "total": 2})
	s.gives(object{"action": "list", "prefix": "a", "keys_only": true}, object{"entries": []any{object{"key": "a", "version": 1}}, "total": 1})
	for _, limit := range []float64{0, 1001} {
		s.fails(object{"action": "list", "limit": limit}, "invalid-inputs", "between 1 and 1000")
	}
	s.gives(object{"action": "list", "prefix": "c", "limit": 1000.0}, object{"entries": []any{}, "total": 0})
}

func TestAFullStoreTakesNoNewKeysAndMakesRoomForThemWhereItCan(t *testing.T) {
	s := newShop(t)
	for _, key := range []string{"a", "b", "c"} {
		s.gives(object{"action": "set", "key": key, "value": 1.0, "ttl": 5.0}, object{"key": key, "version": 1, "created": true})
	}
	s.fails(object{"action": "set", "key": "d", "value": 1.0}, "full", "as many keys")
	s.gives(object{"action": "set", "key": "a", "value": 2.0}, object{"key": "a", "version": 2, "created": false})
	s.time = noon.Add(5 * time.Second)
	s.gives(object{"action": "set", "key": "d", "value": 1.0}, object{"key": "d", "version": 1, "created": true})
	s.gives(object{"action": "list", "keys_only": true}, object{"entries": []any{object{"key": "a", "version": 2}, object{"key": "d", "version": 1}}, "total": 2})
}

func TestAValueMayBeSoLargeAndNoLarger(t *testing.T) {
	s := newShop(t)
	s.gives(object{"action": "set", "key": "a", "value": strings.Repeat("x", 2000)}, object{"key": "a", "version": 1, "created": true})
	s.fails(object{"action": "set", "key": "b", "value": strings.Repeat("x", 3100)}, "too-large", "larger than")
}

func TestKeysAreAnyTextOfOneTo180Bytes(t *testing.T) {
	s := newShop(t)
	for _, key := range []string{"../../etc/passwd", strings.Repeat("ü", 90), " \n"} {
		s.gives(object{"action": "set", "key": key, "value": 1.0}, object{"key": key, "version": 1, "created": true})
	}
	for _, key := range []string{"", strings.Repeat("x", 181)} {
		s.fails(object{"action": "get", "key": key}, "bad-key", "1 to 180 bytes")
		s.fails(object{"action": "set", "key": key, "value": 1.0}, "bad-key", "1 to 180 bytes")
	}
}

func TestInputsThatCannotBeAreToldSo(t *testing.T) {
	s := newShop(t)
	s.fails(object{"action": "get"}, "invalid-inputs", "needs a key")
	s.fails(object{"action": "set", "key": "a"}, "invalid-inputs", "needs a value")
	s.fails(object{"action": "burn", "key": "a"}, "invalid-inputs", "get, set, delete, list or increment")
	s.fails(object{"action": "increment", "key": "a", "by": "x"}, "invalid-inputs", "by is a number")
	s.fails(object{"action": "set", "key": "a", "value": 1.0, "if_version": "x"}, "invalid-inputs", "if_version is a number")
	s.fails(object{"action": "set", "key": "a", "value": 1.0, "ttl": "x"}, "invalid-inputs", "ttl is a number")
	s.fails(object{"action": "list", "limit": "x"}, "invalid-inputs", "limit is a number")
}

func TestManyAtOnceLoseNoChange(t *testing.T) {
	s := newShop(t)
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 10 {
				_, _ = skill.Answer(s.kept, object{"action": "increment", "key": "n"})
			}
		}()
	}
	all.Wait()
	s.gives(object{"action": "get", "key": "n"}, object{"key": "n", "found": true, "value": 80.0, "version": 80})
}

func TestWhatAKilledCallLeftIsClearedAwayAndNoEntry(t *testing.T) {
	s := newShop(t)
	left := filepath.Join(s.kept.Folder, ".new-123")
	if err := os.WriteFile(left, []byte(`{"key": "a`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.gives(object{"action": "list"}, object{"entries": []any{}, "total": 0})
	s.gives(object{"action": "delete", "key": "a"}, object{"key": "a", "deleted": false})
	if _, err := os.Stat(left); err == nil {
		t.Fatal("it is still there")
	}
}

func TestADamagedEntryIsTold(t *testing.T) {
	s := newShop(t)
	if err := os.WriteFile(filepath.Join(s.kept.Folder, "YQ.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails(object{"action": "get", "key": "a"}, "storage-failed", "damaged")
	s.fails(object{"action": "list"}, "storage-failed", "damaged")
	s.fails(object{"action": "increment", "key": "a"}, "storage-failed", "damaged")
}

func TestAStorageThatIsNotThereIsTold(t *testing.T) {
	s := newShop(t)
	s.kept.Folder += "/nowhere"
	s.fails(object{"action": "list"}, "storage-failed", "read")
	s.fails(object{"action": "set", "key": "a", "value": 1.0}, "storage-failed", "written")
}

func TestTheStorageIsTheOneThatTheSkillWasGiven(t *testing.T) {
	t.Setenv("SKILL_STORAGE", "")
	if _, err := skill.Execute(object{"action": "list"}, nil); err == nil || err.Error() != "the skill was given no storage" {
		t.Fatalf("got the error %v", err)
	}
	t.Setenv("SKILL_STORAGE", t.TempDir())
	outputs, err := skill.Execute(object{"action": "set", "key": "a", "value": 1.0}, nil)
	if err != nil || !reflect.DeepEqual(outputs, object{"key": "a", "version": 1, "created": true}) {
		t.Fatalf("got %v and the error %v", outputs, err)
	}
}
