// Package skill indexes the files in its storage and searches them: by text, regular expression, name, size and time.
package skill

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"skill/index"
)

const (
	maxFiles   = 50_000
	maxContent = 4 << 20 // bytes of a file that is put in
	perFile    = 100     // lines of one file that a search gives
)

type fault struct{ code, message string }

func (f fault) Error() string { return f.message }
func (f fault) Code() string  { return f.code }

func wrong(code, message string) error { return fault{code, message} }

// Execute answers one call.
func Execute(inputs, context map[string]any) (map[string]any, error) {
	root := os.Getenv("SKILL_STORAGE")
	if root == "" {
		return nil, wrong("no-storage", "the skill was given no storage")
	}
	switch inputs["action"] {
	case "put":
		return put(root, inputs)
	case "remove":
		return remove(root, inputs)
	case "index":
		return update(root)
	case "search":
		return search(root, inputs)
	case "stats":
		return stats(root, inputs)
	}
	return nil, wrong("invalid-inputs", "the action is put, remove, index, search or stats")
}

// located gives the path of a file or folder of the storage, as it was meant, relative to it.
func located(given any) (string, error) {
	text, ok := given.(string)
	if !ok || text == "" || len(text) > 1024 || strings.ContainsAny(text, "\x00\n\\") {
		return "", wrong("bad-path", "a path is text of 1 to 1024 bytes, like notes/today.txt")
	}
	clean := path.Clean(text)
	if !filepath.IsLocal(clean) || clean == "." || clean == index.Folder || strings.HasPrefix(clean, index.Folder+"/") {
		return "", wrong("bad-path", "a path leads to something inside of the storage, like notes/today.txt")
	}
	return clean, nil
}

func put(root string, inputs map[string]any) (map[string]any, error) {
	files, ok := inputs["files"].([]any)
	if !ok || len(files) == 0 {
		return nil, wrong("invalid-inputs", "put needs files, each with path and content")
	}
	contents := map[string]string{}
	for _, given := range files {
		file, _ := given.(map[string]any)
		place, err := located(file["path"])
		if err != nil {
			return nil, err
		}
		content, ok := file["content"].(string)
		if !ok || len(content) > maxContent {
			return nil, wrong("invalid-inputs", "content is text of at most 4 MiB")
		}
		contents[place] = content
	}
	for place, content := range contents {
		if err := write(root, place, content); err != nil {
			return nil, wrong("storage-failed", place+" cannot be written")
		}
	}
	outputs, err := update(root)
	if err != nil {
		return nil, err
	}
	return map[string]any{"written": len(contents), "files": outputs["files"]}, nil
}

func write(root, place, content string) error {
	whole := filepath.Join(root, filepath.FromSlash(place))
	if err := os.MkdirAll(filepath.Dir(whole), 0o700); err != nil {
		return err
	}
	hidden := filepath.Join(root, index.Folder)
	if err := os.MkdirAll(hidden, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(hidden, index.Unfinished)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), whole)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

func remove(root string, inputs map[string]any) (map[string]any, error) {
	place, err := located(inputs["path"])
	if err != nil {
		return nil, err
	}
	if os.RemoveAll(filepath.Join(root, filepath.FromSlash(place))) != nil {
		return nil, wrong("storage-failed", place+" cannot be removed")
	}
	outputs, err := update(root)
	if err != nil {
		return nil, err
	}
	return map[string]any{"removed": outputs["removed"], "files": outputs["files"]}, nil
}

func update(root string) (map[string]any, error) {
	known, changes, err := current(root)
	if err != nil {
		return nil, err
	}
	return map[string]any{"files": len(known.Files), "added": changes.Added, "changed": changes.Changed, "removed": changes.Removed}, nil
}

// current is the index, brought up to the files and kept.
func current(root string) (index.Index, index.Changes, error) {
	known := index.Load(root)
	changes, err := known.Update(maxFiles)
	if errors.Is(err, index.ErrTooMany) {
		return known, changes, wrong("too-many-files", "the storage holds more files than can be indexed")
	}
	if err != nil {
		return known, changes, wrong("storage-failed", "the storage cannot be read")
	}
	if changes != (index.Changes{}) && known.Save() != nil {
		return known, changes, wrong("storage-failed", "the index cannot be written")
	}
	return known, changes, nil
}

func stats(root string, inputs map[string]any) (map[string]any, error) {
	query, err := queryOf(inputs)
	if err != nil {
		return nil, err
	}
	known, _, err := current(root)
	if err != nil {
		return nil, err
	}
	query.Pattern, query.Limit = nil, len(known.Files)
	bytes, lines, texts := int64(0), 0, 0
	kinds := map[string]int{}
	found := known.Search(query)
	for _, file := range found.Files {
		bytes += file.Size
		lines += file.Lines
		kinds[strings.ToLower(path.Ext(file.Path))]++
		if file.Text {
			texts++
		}
	}
	byKind := make([]any, 0, len(kinds))
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		return kinds[names[i]] > kinds[names[j]] || (kinds[names[i]] == kinds[names[j]] && names[i] < names[j])
	})
	for _, name := range names {
		byKind = append(byKind, map[string]any{"extension": name, "files": kinds[name]})
	}
	return map[string]any{"files": found.Total, "texts": texts, "bytes": bytes, "lines": lines, "extensions": byKind}, nil
}

func search(root string, inputs map[string]any) (map[string]any, error) {
	query, err := queryOf(inputs)
	if err != nil {
		return nil, err
	}
	known, _, err := current(root)
	if err != nil {
		return nil, err
	}
	found := known.Search(query)
	outputs := map[string]any{"total": found.Total, "truncated": found.Truncated}
	if query.Pattern == nil {
		entries := make([]any, len(found.Files))
		for at, file := range found.Files {
			entries[at] = map[string]any{"path": file.Path, "bytes": file.Size, "modified": file.Modified.Format(time.RFC3339)}
		}
		outputs["entries"] = entries
		return outputs, nil
	}
	matches := make([]any, len(found.Matches))
	for at, match := range found.Matches {
		matches[at] = map[string]any{"path": match.Path, "line": match.Line, "text": match.Text}
	}
	outputs["matches"] = matches
	return outputs, nil
}

func queryOf(inputs map[string]any) (index.Query, error) {
	query := index.Query{MaxSize: -1, Limit: 100, LongestPerFile: perFile}
	if given, ok := inputs["path"]; ok {
		place, err := located(given)
		if err != nil {
			return query, err
		}
		query.Below = place
	}
	query.Glob, _ = inputs["glob"].(string)
	if _, err := path.Match(query.Glob, ""); err != nil {
		return query, wrong("bad-pattern", "the glob cannot be read")
	}
	if size, ok := inputs["min_size"].(float64); ok {
		query.MinSize = int64(size)
	}
	if size, ok := inputs["max_size"].(float64); ok {
		query.MaxSize = int64(size)
	}
	if limit, ok := inputs["limit"].(float64); ok {
		query.Limit = max(1, min(int(limit), 1000))
	}
	for name, target := range map[string]*time.Time{"modified_after": &query.After, "modified_before": &query.Before} {
		if text, ok := inputs[name].(string); ok {
			moment, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return query, wrong("bad-time", name+" is a time like 2025-04-03T14:30:00Z")
			}
			*target = moment
		}
	}
	return query, patternOf(inputs, &query)
}

func patternOf(inputs map[string]any, query *index.Query) error {
	text, _ := inputs["text"].(string)
	if text == "" {
		return nil
	}
	expression := regexp.QuoteMeta(text)
	if isRegex, _ := inputs["regex"].(bool); isRegex {
		expression = text
	}
	pattern, err := regexp.Compile(expression)
	if err != nil {
		return wrong("bad-pattern", "the regular expression cannot be read")
	}
	query.Literal, _ = pattern.LiteralPrefix()
	if ignoreCase, _ := inputs["ignore_case"].(bool); ignoreCase {
		pattern = regexp.MustCompile("(?i:" + expression + ")")
		query.Literal = plain(query.Literal)
	}
	query.Pattern = pattern
	return nil
}

// plain is the longest part of a literal that is the same in all lines that match it in whatever case: K and S have relatives outside of ASCII.
func plain(literal string) string {
	longest := ""
	for _, part := range strings.FieldsFunc(literal, func(letter rune) bool { return letter > 127 || strings.ContainsRune("kKsS", letter) }) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}
