// Package store keeps values by key in a folder: a file for each key, replaced as a whole, so that a call that is cut short leaves the old
// value. Calls that run at the same time wait for each other (flock).
package store

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

const (
	longestKey = 180 // bytes: a file's name in base64 has at most 255
	ending     = ".json"
	unfinished = ".new-"
)

// Fault is an error with a code for the caller.
type Fault struct{ code, Message string }

func (f Fault) Error() string { return f.Message }

// Code is what the caller sees beside the message.
func (f Fault) Code() string { return f.code }

// Wrong makes an error.
func Wrong(code, message string) error { return Fault{code, message} }

// Entry is a value with its version, which rises by one with each change, and the time when it ends (none: the zero time).
type Entry struct {
	Key     string    `json:"key"`
	Value   any       `json:"value"`
	Version int       `json:"version"`
	Expires time.Time `json:"expires,omitzero"`
}

// Store is a folder of entries. MaxEntries and MaxValue (bytes of JSON) bound what it takes.
type Store struct {
	Folder     string
	MaxEntries int
	MaxValue   int
	Now        func() time.Time
}

// Condition says when a change may happen: Version 0 means that there must be no such key. Nil: always.
type Condition struct{ Version int }

// Get gives the entry of a key, false where there is none or its time is over.
func (s Store) Get(key string) (Entry, bool, error) {
	if err := checked(key); err != nil {
		return Entry{}, false, err
	}
	text, err := os.ReadFile(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, Wrong("storage-failed", "the storage cannot be read")
	}
	var entry Entry
	if json.Unmarshal(text, &entry) != nil {
		return Entry{}, false, Wrong("storage-failed", "the entry on disk is damaged")
	}
	return entry, !s.over(entry), nil
}

// Change replaces the entry of a key by what `make` gives for the one that is there (false: none); a nil entry takes it away.
// Returns the new entry, and whether there was one before.
func (s Store) Change(key string, condition *Condition, make func(old Entry, found bool) (*Entry, error)) (*Entry, bool, error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	old, found, err := s.Get(key)
	if err != nil {
		return nil, false, err
	}
	if !found {
		old = Entry{} // what is over counts for nothing
	}
	if err := condition.holds(old, found); err != nil {
		return nil, found, err
	}
	made, err := make(old, found)
	if err != nil {
		return nil, found, err
	}
	if made == nil {
		return nil, found, s.remove(key)
	}
	made.Key, made.Version = key, 1
	if found {
		made.Version = old.Version + 1
	}
	return made, found, s.write(*made, found)
}

func (c *Condition) holds(old Entry, found bool) error {
	switch {
	case c == nil:
	case c.Version == 0 && found:
		return Wrong("conflict", "the key exists already")
	case c.Version != 0 && !found:
		return Wrong("conflict", "the key does not exist")
	case found && old.Version != c.Version:
		return Wrong("conflict", "the key has another version by now")
	}
	return nil
}

// List gives the entries whose key starts with `prefix`, from the first key after `after`, at most `limit`; and how many there are in all.
func (s Store) List(prefix, after string, limit int) ([]Entry, int, error) {
	keys, err := s.keys()
	if err != nil {
		return nil, 0, err
	}
	found, total := []Entry{}, 0
	for _, key := range keys {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		entry, there, err := s.Get(key)
		if err != nil {
			return nil, 0, err
		}
		if !there {
			continue
		}
		total++
		if key > after && len(found) < limit {
			found = append(found, entry)
		}
	}
	return found, total, nil
}

func (s Store) keys() ([]string, error) {
	files, err := os.ReadDir(s.Folder)
	if err != nil {
		return nil, Wrong("storage-failed", "the storage cannot be read")
	}
	keys := []string{}
	for _, file := range files {
		name, isEntry := strings.CutSuffix(file.Name(), ending)
		if key, err := base64.RawURLEncoding.DecodeString(name); isEntry && err == nil {
			keys = append(keys, string(key))
		}
	}
	sort.Strings(keys)
	return keys, nil
}

func (s Store) write(entry Entry, replaces bool) error {
	text, err := json.Marshal(entry)
	if err != nil || len(text) > s.MaxValue+1024 {
		return Wrong("too-large", "the value is larger than a value may be")
	}
	if keys, err := s.keys(); !replaces && (err != nil || len(keys) >= s.MaxEntries && s.sweep(keys) >= s.MaxEntries) {
		return Wrong("full", "the store holds as many keys as it may")
	}
	file, err := os.CreateTemp(s.Folder, unfinished)
	if err != nil {
		return unwritten()
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), s.path(entry.Key))
	}
	if err != nil {
		os.Remove(file.Name())
		return unwritten()
	}
	return s.settle()
}

// sweep takes away what is over, and tells how many entries are left.
func (s Store) sweep(keys []string) int {
	left := 0
	for _, key := range keys {
		if _, there, err := s.Get(key); there || err != nil {
			left++
		} else {
			os.Remove(s.path(key))
		}
	}
	return left
}

func (s Store) remove(key string) error {
	if err := os.Remove(s.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritten()
	}
	return s.settle()
}

// settle has the folder itself on disk, too.
func (s Store) settle() error {
	folder, err := os.Open(s.Folder)
	if err != nil {
		return unwritten()
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func unwritten() error { return Wrong("storage-failed", "the storage cannot be written") }

// lock waits for all others who change something, and clears away what those left who were killed.
func (s Store) lock() (func(), error) {
	file, err := os.OpenFile(filepath.Join(s.Folder, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unwritten()
	}
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX) != nil {
		file.Close()
		return nil, unwritten()
	}
	left, _ := filepath.Glob(filepath.Join(s.Folder, unfinished+"*"))
	for _, path := range left {
		os.Remove(path)
	}
	return func() { file.Close() }, nil
}

func (s Store) over(entry Entry) bool {
	return !entry.Expires.IsZero() && !s.Now().Before(entry.Expires)
}

func (s Store) path(key string) string {
	return filepath.Join(s.Folder, base64.RawURLEncoding.EncodeToString([]byte(key))+ending)
}

func checked(key string) error {
	if key == "" || len(key) > longestKey {
		return Wrong("bad-key", "a key has 1 to 180 bytes")
	}
	return nil
}
