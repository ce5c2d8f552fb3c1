// Package skill keeps values by key, from call to call: get, set, delete, list by prefix, increment, with versions and times to live.
package skill

import (
	"math"
	"os"
	"time"

	"skill/store"
)

const (
	maxEntries = 10_000
	maxValue   = 1 << 20 // bytes
	maxList    = 1000
)

// Execute answers one call.
func Execute(inputs, context map[string]any) (map[string]any, error) {
	folder := os.Getenv("SKILL_STORAGE")
	if folder == "" {
		return nil, store.Wrong("no-storage", "the skill was given no storage")
	}
	kept := store.Store{Folder: folder, MaxEntries: maxEntries, MaxValue: maxValue, Now: time.Now}
	return Answer(kept, inputs)
}

// Answer answers one call on a store.
func Answer(kept store.Store, inputs map[string]any) (map[string]any, error) {
	action, _ := inputs["action"].(string)
	if action == "list" {
		return list(kept, inputs)
	}
	key, ok := inputs["key"].(string)
	if !ok {
		return nil, store.Wrong("invalid-inputs", "this action needs a key")
	}
	condition, err := conditionOf(inputs)
	if err != nil {
		return nil, err
	}
	switch action {
	case "get":
		return get(kept, key, inputs)
	case "set":
		return set(kept, key, condition, inputs)
	case "increment":
		return increment(kept, key, condition, inputs)
	case "delete":
		_, found, err := kept.Change(key, condition, func(store.Entry, bool) (*store.Entry, error) { return nil, nil })
		return map[string]any{"key": key, "deleted": found}, err
	}
	return nil, store.Wrong("invalid-inputs", "the action is get, set, delete, list or increment")
}

func get(kept store.Store, key string, inputs map[string]any) (map[string]any, error) {
	entry, found, err := kept.Get(key)
	if err != nil {
		return nil, err
	}
	if !found {
		outputs := map[string]any{"key": key, "found": false}
		if fallback, given := inputs["default"]; given {
			outputs["value"] = fallback
		}
		return outputs, nil
	}
	outputs := told(entry)
	outputs["found"] = true
	return outputs, nil
}

func set(kept store.Store, key string, condition *store.Condition, inputs map[string]any) (map[string]any, error) {
	value, given := inputs["value"]
	if !given {
		return nil, store.Wrong("invalid-inputs", "set needs a value")
	}
	expires, err := expiry(kept, inputs)
	if err != nil {
		return nil, err
	}
	entry, found, err := kept.Change(key, condition, func(store.Entry, bool) (*store.Entry, error) {
		return &store.Entry{Value: value, Expires: expires}, nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"key": key, "version": entry.Version, "created": !found}, nil
}

// increment adds to a number, which starts at 0; without a time to live, the old one stays.
func increment(kept store.Store, key string, condition *store.Condition, inputs map[string]any) (map[string]any, error) {
	by, err := number(inputs, "by", 1)
	if err != nil {
		return nil, err
	}
	expires, err := expiry(kept, inputs)
	if err != nil {
		return nil, err
	}
	entry, _, err := kept.Change(key, condition, func(old store.Entry, found bool) (*store.Entry, error) {
		before, isNumber := old.Value.(float64)
		if found && !isNumber {
			return nil, store.Wrong("not-a-number", "the value of this key is no number")
		}
		if expires.IsZero() && found {
			expires = old.Expires
		}
		if sum := before + by; !math.IsInf(sum, 0) {
			return &store.Entry{Value: sum, Expires: expires}, nil
		}
		return nil, store.Wrong("not-a-number", "the sum is too large for a number")
	})
	if err != nil {
		return nil, err
	}
	return told(*entry), nil
}

func list(kept store.Store, inputs map[string]any) (map[string]any, error) {
	prefix, _ := inputs["prefix"].(string)
	after, _ := inputs["after"].(string)
	limit, err := number(inputs, "limit", 100)
	if err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxList {
		return nil, store.Wrong("invalid-inputs", "limit is between 1 and 1000")
	}
	found, total, err := kept.List(prefix, after, int(limit))
	if err != nil {
		return nil, err
	}
	keysOnly, _ := inputs["keys_only"].(bool)
	entries := make([]any, len(found))
	for index, entry := range found {
		shown := told(entry)
		if keysOnly {
			delete(shown, "value")
		}
		entries[index] = shown
	}
	return map[string]any{"entries": entries, "total": total}, nil
}

func told(entry store.Entry) map[string]any {
	outputs := map[string]any{"key": entry.Key, "value": entry.Value, "version": entry.Version}
	if !entry.Expires.IsZero() {
		outputs["expires"] = entry.Expires.Format(time.RFC3339)
	}
	return outputs
}

// expiry is the end of the time to live; the zero time where there is none.
func expiry(kept store.Store, inputs map[string]any) (time.Time, error) {
	seconds, err := number(inputs, "ttl", 0)
	if err != nil || seconds == 0 {
		return time.Time{}, err
	}
	if seconds < 1 || seconds > 1e9 {
		return time.Time{}, store.Wrong("invalid-inputs", "ttl is between 1 and 1000000000 seconds")
	}
	return kept.Now().UTC().Add(time.Duration(seconds * float64(time.Second))), nil
}

func conditionOf(inputs map[string]any) (*store.Condition, error) {
	if _, given := inputs["if_version"]; !given {
		return nil, nil
	}
	version, err := number(inputs, "if_version", 0)
	return &store.Condition{Version: int(version)}, err
}

func number(inputs map[string]any, name string, otherwise float64) (float64, error) {
	value, given := inputs[name]
	if !given {
		return otherwise, nil
	}
	number, ok := value.(float64)
	if !ok {
		return 0, store.Wrong("invalid-inputs", name+" is a number")
	}
	return number, nil
}
