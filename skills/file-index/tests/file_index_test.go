package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"skill"
	"skill/index"
)

type object = map[string]any

var noon = time.Date(2025, 4, 3, 12, 0, 0, 0, time.UTC)

// library is a storage with three files, all of them changed at noon.
type library struct {
	*testing.T
	root string
}

func newLibrary(t *testing.T) *library {
	l := &library{t, t.TempDir()}
	t.Setenv("SKILL_STORAGE", l.root)
	l.gives(object{"action": "put", "files": []any{
		object{"path": "docs/birds.md", "content": "# Birds\nThe Kestrel hovers.\nA swift never lands\n"},
		object{"path": "docs/deep/fish.txt", "content": "Pike and kestrel\r\nno bird"},
		object{"path": "notes.md", "content": ""},
	}}, object{"written": 3, "files": 3})
	for _, name := range []string{"docs/birds.md", "docs/deep/fish.txt", "notes.md"} {
		l.touched(name, noon)
	}
	return l
}

func (l *library) touched(name string, when time.Time) {
	l.Helper()
	if err := os.Chtimes(filepath.Join(l.root, name), when, when); err != nil {
		l.Fatal(err)
	}
}

func (l *library) gives(inputs, outputs object) {
	l.Helper()
	got, err := skill.Execute(inputs, nil)
	if err != nil || !reflect.DeepEqual(got, outputs) {
		l.Fatalf("%v gave %v and the error %v, not %v", inputs, got, err, outputs)
	}
}

func (l *library) fails(inputs object, code, message string) {
	l.Helper()
	_, err := skill.Execute(inputs, nil)
	coded, ok := err.(interface{ Code() string })
	if !ok || coded.Code() != code || !strings.Contains(err.Error(), message) {
		l.Fatalf("%v gave the error %v, not %s: %s", inputs, err, code, message)
	}
}

// finds holds the lines that a search for `text` gives, as path:line, against `places`.
func (l *library) finds(inputs object, places ...string) {
	l.Helper()
	inputs["action"] = "search"
	outputs, err := skill.Execute(inputs, nil)
	if err != nil {
		l.Fatal(err)
	}
	found := []string{}
	for _, match := range outputs["matches"].([]any) {
		found = append(found, fmt.Sprintf("%s:%d", match.(object)["path"], match.(object)["line"]))
	}
	if strings.Join(found, " ") != strings.Join(places, " ") {
		l.Fatalf("%v found %v, not %v", inputs, found, places)
	}
}

// lists holds the files that a search gives against `paths`.
func (l *library) lists(inputs object, paths ...string) {
	l.Helper()
	inputs["action"] = "search"
	outputs, err := skill.Execute(inputs, nil)
	if err != nil {
		l.Fatal(err)
	}
	found := []string{}
	for _, entry := range outputs["entries"].([]any) {
		found = append(found, entry.(object)["path"].(string))
	}
	if strings.Join(found, " ") != strings.Join(paths, " ") || outputs["total"] != len(paths) || outputs["truncated"] != false {
		l.Fatalf("%v found %v, not %v", inputs, outputs, paths)
	}
}

func TestALineIsFoundWithItsPlace(t *testing.T) {
	l := newLibrary(t)
	l.gives(object{"action": "search", "text": "kestrel"}, object{
		"matches": []any{object{"path": "docs/deep/fish.txt", "line": 1, "text": "Pike and kestrel"}}, "total": 1, "truncated": false,
	})
	l.finds(object{"text": "no bird"}, "docs/deep/fish.txt:2")
	l.finds(object{"text": "never lands"}, "docs/birds.md:3")
	l.finds(object{"text": "never  lands"})
	l.finds(object{"text": "r.*s"})
}

func TestCaseCountsUnlessItIsIgnored(t *testing.T) {
	l := newLibrary(t)
	l.finds(object{"text": "Kestrel"}, "docs/birds.md:2")
	l.finds(object{"text": "kESTREL", "ignore_case": true}, "docs/birds.md:2", "docs/deep/fish.txt:1")
	l.finds(object{"text": "ſwift", "ignore_case": true}, "docs/birds.md:3")
	l.gives(object{"action": "put", "files": []any{object{"path": "a.txt", "content": "300 \u212aelvin"}}}, object{"written": 1, "files": 4})
	l.finds(object{"text": "kelvin", "ignore_case": true}, "a.txt:1")
}

func TestARegularExpressionIsOneOnlyWhereAskedFor(t *testing.T) {
	l := newLibrary(t)
	l.finds(object{"text": "K.*s", "regex": true}, "docs/birds.md:2")
	l.finds(object{"text": "^(a|the) ", "regex": true, "ignore_case": true}, "docs/birds.md:2", "docs/birds.md:3")
	l.fails(object{"action": "search", "text": "(", "regex": true}, "bad-pattern", "regular expression")
	l.finds(object{"text": "("})
}

func TestFilesAreFoundByFolderAndName(t *testing.T) {
	l := newLibrary(t)
	l.lists(object{}, "docs/birds.md", "docs/deep/fish.txt", "notes.md")
	l.lists(object{"path": "docs"}, "docs/birds.md", "docs/deep/fish.txt")
	l.lists(object{"path": "docs/deep/"}, "docs/deep/fish.txt")
	l.lists(object{"path": "doc"})
	l.lists(object{"glob": "*.md"}, "docs/birds.md", "notes.md")
	l.lists(object{"glob": "docs/*.md"}, "docs/birds.md")
	l.finds(object{"text": "i", "glob": "*.txt"}, "docs/deep/fish.txt:1", "docs/deep/fish.txt:2")
	l.fails(object{"action": "search", "glob": "[a"}, "bad-pattern", "glob")
}

func TestFilesAreFoundBySizeAndTime(t *testing.T) {
	l := newLibrary(t)
	l.touched("notes.md", noon.Add(time.Hour))
	l.lists(object{"max_size": 0.0}, "notes.md")
	l.lists(object{"min_size": 25.0, "max_size": 25.0}, "docs/deep/fish.txt")
	l.lists(object{"min_size": 26.0}, "docs/birds.md")
	l.lists(object{"modified_after": "2025-04-03T13:00:00Z"}, "notes.md")
	l.lists(object{"modified_after": "2025-04-03T13:00:01Z"})
	l.lists(object{"modified_before": "2025-04-03T13:00:00Z"}, "docs/birds.md", "docs/deep/fish.txt")
	l.lists(object{"modified_before": "2025-04-03T12:00:00Z"})
	l.fails(object{"action": "search", "modified_after": "yesterday"}, "bad-time", "modified_after is a time")
}

func TestAFileIsTold(t *testing.T) {
	newLibrary(t).gives(object{"action": "search", "glob": "fish*"}, object{
		"entries": []any{object{"path": "docs/deep/fish.txt", "bytes": int64(25), "modified": "2025-04-03T12:00:00Z"}}, "total": 1, "truncated": false,
	})
}

func TestWhatIsLeftOutIsTold(t *testing.T) {
	l := newLibrary(t)
	outputs, _ := skill.Execute(object{"action": "search", "limit": 2.0}, nil)
	if len(outputs["entries"].([]any)) != 2 || outputs["total"] != 3 || outputs["truncated"] != true {
		t.Fatalf("got %v", outputs)
	}
	outputs, _ = skill.Execute(object{"action": "search", "text": "i", "limit": 2.0}, nil)
	if len(outputs["matches"].([]any)) != 2 || outputs["total"] != 2 || outputs["truncated"] != true {
		t.Fatalf("got %v", outputs)
	}
	l.gives(object{"action": "put", "files": []any{object{"path": "long.txt", "content": strings.Repeat("zebra\n", 101)}}}, object{"written": 1, "files": 4})
	outputs, _ = skill.Execute(object{"action": "search", "text": "zebra", "limit": 1000.0}, nil)
	if len(outputs["matches"].([]any)) != 100 || outputs["truncated"] != true {
		t.Fatalf("got %v", outputs)
	}
	l.gives(object{"action": "put", "files": []any{object{"path": "long.txt", "content": strings.Repeat("zebra\n", 100)}}}, object{"written": 1, "files": 4})
	outputs, _ = skill.Execute(object{"action": "search", "text": "zebra"}, nil)
	if len(outputs["matches"].([]any)) != 100 || outputs["truncated"] != false {
		t.Fatalf("got %v", outputs)
	}
}

func TestALongLineIsCut(t *testing.T) {
	l := newLibrary(t)
	l.gives(object{"action": "put", "files": []any{object{"path": "a", "content": strings.Repeat("ü", 401)}}}, object{"written": 1, "files": 4})
	l.gives(object{"action": "search", "text": "üüü"}, object{
		"matches": []any{object{"path": "a", "line": 1, "text": strings.Repeat("ü", 400)}}, "total": 1, "truncated": false,
	})
}

func TestStatsCountWhatThereIs(t *testing.T) {
	l := newLibrary(t)
	if err := os.WriteFile(filepath.Join(l.root, "docs", "picture.PNG"), []byte("\x00\x01"), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds := []any{object{"extension": ".md", "files": 2}, object{"extension": ".png", "files": 1}, object{"extension": ".txt", "files": 1}}
	l.gives(object{"action": "stats"}, object{"files": 4, "texts": 3, "bytes": int64(75), "lines": 5, "extensions": kinds})
	l.gives(object{"action": "stats", "path": "docs/deep"}, object{
		"files": 1, "texts": 1, "bytes": int64(25), "lines": 2, "extensions": []any{object{"extension": ".txt", "files": 1}},
	})
}

func TestTheIndexFollowsTheFiles(t *testing.T) {
	l := newLibrary(t)
	l.gives(object{"action": "index"}, object{"files": 3, "added": 0, "changed": 3, "removed": 0}) // their times were changed
	l.gives(object{"action": "index"}, object{"files": 3, "added": 0, "changed": 0, "removed": 0})
	if err := os.WriteFile(filepath.Join(l.root, "notes.md"), []byte("a heron"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.finds(object{"text": "heron"}, "notes.md:1")
	l.gives(object{"action": "remove", "path": "docs"}, object{"removed": 2, "files": 1})
	l.finds(object{"text": "kestrel"})
	l.gives(object{"action": "remove", "path": "docs"}, object{"removed": 0, "files": 1})
}

func TestWhatIsNotReadAgainIsKnownFromTheIndex(t *testing.T) {
	l := newLibrary(t)
	l.finds(object{"text": "heron"})
	if err := os.WriteFile(filepath.Join(l.root, "docs", "deep", "fish.txt"), []byte("Pike and a  heron\r\nno bird"[:25]), 0o600); err != nil {
		t.Fatal(err)
	}
	l.touched("docs/deep/fish.txt", noon) // as long and as old as before: nobody can tell that it changed
	l.finds(object{"text": "heron"})
}

func TestABrokenIndexIsMadeAgain(t *testing.T) {
	l := newLibrary(t)
	if err := os.WriteFile(filepath.Join(l.root, index.Folder, "index"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.gives(object{"action": "index"}, object{"files": 3, "added": 3, "changed": 0, "removed": 0})
}

func TestWhatAKilledCallLeftIsClearedAwayInTime(t *testing.T) {
	l := newLibrary(t)
	old, fresh := filepath.Join(index.Folder, index.Unfinished+"1"), filepath.Join(index.Folder, index.Unfinished+"2")
	for _, name := range []string{old, fresh} {
		if err := os.WriteFile(filepath.Join(l.root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.touched(old, noon)
	l.gives(object{"action": "remove", "path": "notes.md"}, object{"removed": 1, "files": 2})
	_, gone := os.Stat(filepath.Join(l.root, old))
	if _, kept := os.Stat(filepath.Join(l.root, fresh)); gone == nil || kept != nil {
		t.Fatalf("the old one: %v, the fresh one: %v", gone, kept)
	}
}

func TestWhatIsNoTextIsNotSearched(t *testing.T) {
	l := newLibrary(t)
	for name, content := range map[string]string{"zero": "kestrel\x00", "latin": "kestrel \xff"} {
		if err := os.WriteFile(filepath.Join(l.root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.finds(object{"text": "kestrel"}, "docs/deep/fish.txt:1")
}

func TestPathsStayInside(t *testing.T) {
	l := newLibrary(t)
	for _, path := range []any{"../a", "/etc/passwd", "a/../../b", ".", "", ".index", ".index/index", "a\\b", "a\nb", strings.Repeat("x", 1025), 7.0, nil} {
		l.fails(object{"action": "put", "files": []any{object{"path": path, "content": ""}}}, "bad-path", "a path")
		l.fails(object{"action": "remove", "path": path}, "bad-path", "a path")
	}
	l.fails(object{"action": "search", "path": ".."}, "bad-path", "a path")
	l.fails(object{"action": "stats", "path": ".."}, "bad-path", "a path")
	l.gives(object{"action": "put", "files": []any{object{"path": "a/../b", "content": "x"}}}, object{"written": 1, "files": 4})
	l.lists(object{"glob": "b"}, "b")
}

func TestInputsThatCannotBeAreToldSo(t *testing.T) {
	l := newLibrary(t)
	l.fails(object{"action": "burn"}, "invalid-inputs", "put, remove, index, search or stats")
	l.fails(object{"action": "put"}, "invalid-inputs", "put needs files")
	l.fails(object{"action": "put", "files": []any{}}, "invalid-inputs", "put needs files")
	l.fails(object{"action": "put", "files": []any{7.0}}, "bad-path", "a path")
	l.fails(object{"action": "put", "files": []any{object{"path": "a"}}}, "invalid-inputs", "content is text")
	l.fails(object{"action": "put", "files": []any{object{"path": "a", "content": strings.Repeat("x", 4<<20+1)}}}, "invalid-inputs", "4 MiB")
	l.fails(object{"action": "put", "files": []any{object{"path": "docs", "content": "x"}}}, "storage-failed", "docs cannot be written")
	l.fails(object{"action": "put", "files": []any{object{"path": "notes.md/a", "content": "x"}}}, "storage-failed", "notes.md/a cannot be written")
}

func TestAStorageThatIsNotThereIsTold(t *testing.T) {
	l := newLibrary(t)
	t.Setenv("SKILL_STORAGE", "")
	l.fails(object{"action": "index"}, "no-storage", "given no storage")
	t.Setenv("SKILL_STORAGE", l.root+"/nowhere")
	for _, action := range []string{"index", "search", "stats"} {
		l.fails(object{"action": action}, "storage-failed", "cannot be read")
	}
	l.fails(object{"action": "remove", "path": "a"}, "storage-failed", "cannot be read")
}

func TestErrTooManyFilesAreNotTakenIn(t *testing.T) {
	known := index.Index{Root: newLibrary(t).root}
	if _, err := known.Update(2); err != index.ErrTooMany {
		t.Fatalf("got the error %v", err)
	}
	if changes, err := known.Update(3); err != nil || changes != (index.Changes{Added: 3}) {
		t.Fatalf("got %v and the error %v", changes, err)
	}
}

func TestASearchReadsOnlyWhatCanHoldTheText(t *testing.T) {
	l := newLibrary(t)
	known := index.Load(l.root)
	found := known.Search(index.Query{MaxSize: -1, Limit: 10, LongestPerFile: 10, Literal: "swift", Pattern: pattern("swift")})
	if found.Scanned != 1 || len(found.Matches) != 1 {
		t.Fatalf("read %d files and found %v", found.Scanned, found.Matches)
	}
}

func pattern(text string) *regexp.Regexp { return regexp.MustCompile(regexp.QuoteMeta(text)) }
