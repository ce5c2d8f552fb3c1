// Package index keeps what is known of the files of a folder, from call to call: names, sizes, times, and for each text a signature of the
// groups of three letters in it, which tells at once that most files cannot hold what is looked for.
package index

import (
	"encoding/gob"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	form    = 1        // of the index file; another one is read as none
	largest = 16 << 20 // bytes of a file whose content is searched
	sniffed = 8192     // bytes in which a zero byte tells that a file is no text
	perGram = 8        // bits of a signature for each byte of the text
	maxBits = 1 << 18
	stale   = time.Hour
)

// Unfinished is how the names of files start that are being written.
const Unfinished = ".new-"

// Folder is where the index itself lies, in the root.
const Folder = ".index"

// File is what is known of one file. Path is relative to the root, with slashes. Signature is nil for what is no text.
type File struct {
	Path      string
	Size      int64
	Modified  time.Time
	Text      bool
	Lines     int
	Signature Signature
}

// Index is what is known of all files below Root, by path.
type Index struct {
	Root  string
	Files []File
}

// Changes counts what an update found.
type Changes struct{ Added, Changed, Removed int }

type saved struct {
	Form  int
	Files []File
}

// Load reads the index; an empty one where there is none that can be read.
func Load(root string) Index {
	file, err := os.Open(filepath.Join(root, Folder, "index"))
	if err != nil {
		return Index{Root: root}
	}
	defer file.Close()
	var kept saved
	if gob.NewDecoder(file).Decode(&kept) != nil || kept.Form != form {
		return Index{Root: root}
	}
	return Index{Root: root, Files: kept.Files}
}

// Save replaces the index on disk as a whole.
func (x Index) Save() error {
	folder := filepath.Join(x.Root, Folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	clear(folder)
	file, err := os.CreateTemp(folder, Unfinished)
	if err != nil {
		return err
	}
	err = errors.Join(gob.NewEncoder(file).Encode(saved{form, x.Files}), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(folder, "index"))
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// clear takes away what calls left that were killed while they wrote.
func clear(folder string) {
	left, _ := filepath.Glob(filepath.Join(folder, Unfinished+"*"))
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > stale {
			os.Remove(path)
		}
	}
}

// Update brings the index up to the files: only those are read whose size or time has changed. At most `most` files are taken in.
func (x *Index) Update(most int) (Changes, error) {
	known := make(map[string]File, len(x.Files))
	for _, file := range x.Files {
		known[file.Path] = file
	}
	found, err := walk(x.Root, most)
	if err != nil {
		return Changes{}, err
	}
	var changes Changes
	unread := []int{}
	for at, file := range found {
		old, was := known[file.Path]
		delete(known, file.Path)
		switch {
		case was && old.Size == file.Size && old.Modified.Equal(file.Modified):
			found[at] = old
			continue
		case was:
			changes.Changed++
		default:
			changes.Added++
		}
		unread = append(unread, at)
	}
	changes.Removed = len(known)
	side(len(unread), func(at int) { found[unread[at]].read(x.Root) })
	x.Files = found
	return changes, nil
}

// side does `work` for 0 to count-1, as many at once as there are processors.
func side(count int, work func(at int)) {
	next := make(chan int)
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), count) {
		all.Add(1)
		go func() {
			defer all.Done()
			for at := range next {
				work(at)
			}
		}()
	}
	for at := range count {
		next <- at
	}
	close(next)
	all.Wait()
}

// ErrTooMany says that a tree has more files than may be taken in.
var ErrTooMany = errors.New("there are too many files")

func walk(root string, most int) ([]File, error) {
	found := []File{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if entry.IsDir() && name == Folder {
			return fs.SkipDir
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return nil // it went away meanwhile
		}
		if len(found) >= most {
			return ErrTooMany
		}
		found = append(found, File{Path: filepath.ToSlash(name), Size: info.Size(), Modified: info.ModTime().UTC()})
		return nil
	})
	sort.Slice(found, func(i, j int) bool { return found[i].Path < found[j].Path })
	return found, err
}

// read takes in the content; what cannot be read or is no text stays without.
func (f *File) read(root string) {
	content, err := Content(root, f.Path, f.Size)
	if err != nil {
		return
	}
	f.Text = true
	f.Signature = sign(content)
	f.Lines = strings.Count(content, "\n")
	if content != "" && !strings.HasSuffix(content, "\n") {
		f.Lines++
	}
}

// Content is the text of a file; an error where it is none.
func Content(root, path string, size int64) (string, error) {
	if size > largest {
		return "", errors.New("it is too large")
	}
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		return "", err
	}
	if strings.IndexByte(string(data[:min(len(data), sniffed)]), 0) >= 0 || !utf8.Valid(data) {
		return "", errors.New("it is no text")
	}
	return string(data), nil
}
