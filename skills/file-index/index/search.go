package index

import (
	"path"
	"regexp"
	"sort"
	"strings"
	"time"
)

const shownLength = 400 // characters of a line

// Query is what is looked for; what is empty or zero asks for nothing.
type Query struct {
	Below          string         // a folder
	Glob           string         // held against the name, or with a slash in it against the whole path
	MinSize        int64          // bytes
	MaxSize        int64          // bytes; below zero: no bound
	After, Before  time.Time      // of the last change: After itself is in, Before is not
	Pattern        *regexp.Regexp // what a line has to match
	Literal        string         // what every line that matches holds, in whatever case
	Limit          int            // files without a pattern, lines with one
	LongestPerFile int            // lines of one file
}

// Match is one line. Line counts from 1.
type Match struct {
	Path string
	Line int
	Text string
}

// Found is what a search gives: Files where there is no pattern, else Matches. Total counts all files that fit, Scanned those that were read.
type Found struct {
	Files     []File
	Matches   []Match
	Total     int
	Scanned   int
	Truncated bool
}

// Search looks in the index, and reads only files that can hold what is looked for.
func (x Index) Search(query Query) Found {
	fitting := x.fitting(query)
	if query.Pattern == nil {
		shown := fitting[:min(len(fitting), query.Limit)]
		return Found{Files: shown, Matches: []Match{}, Total: len(fitting), Truncated: len(shown) < len(fitting)}
	}
	candidates := []File{}
	for _, file := range fitting {
		if file.Text && file.Signature.May(query.Literal) {
			candidates = append(candidates, file)
		}
	}
	byFile := make([][]Match, len(candidates))
	cut := make([]bool, len(candidates))
	side(len(candidates), func(at int) { byFile[at], cut[at] = lines(x.Root, candidates[at], query) })
	found := Found{Files: []File{}, Matches: []Match{}, Scanned: len(candidates)}
	for at, matches := range byFile {
		if len(matches) > 0 {
			found.Total++
		}
		found.Matches = append(found.Matches, matches...)
		found.Truncated = found.Truncated || cut[at]
	}
	if len(found.Matches) > query.Limit {
		found.Matches, found.Truncated = found.Matches[:query.Limit], true
	}
	return found
}

func (x Index) fitting(query Query) []File {
	found := []File{}
	start := 0
	if query.Below != "" {
		start = sort.Search(len(x.Files), func(at int) bool { return x.Files[at].Path >= query.Below+"/" })
	}
	for _, file := range x.Files[start:] {
		if query.Below != "" && !strings.HasPrefix(file.Path, query.Below+"/") {
			break // they are in order
		}
		if file.fits(query) {
			found = append(found, file)
		}
	}
	return found
}

func (f File) fits(query Query) bool {
	if query.Glob != "" {
		name := f.Path
		if !strings.Contains(query.Glob, "/") {
			name = path.Base(f.Path)
		}
		if fits, err := path.Match(query.Glob, name); err != nil || !fits {
			return false
		}
	}
	switch {
	case f.Size < query.MinSize, query.MaxSize >= 0 && f.Size > query.MaxSize:
		return false
	case !query.After.IsZero() && f.Modified.Before(query.After), !query.Before.IsZero() && !f.Modified.Before(query.Before):
		return false
	}
	return true
}

func lines(root string, file File, query Query) (found []Match, cut bool) {
	content, err := Content(root, file.Path, file.Size)
	if err != nil {
		return nil, false // it went away, or is no text any more
	}
	for number := 1; content != ""; number++ {
		line, rest, _ := strings.Cut(content, "\n")
		content = rest
		if !query.Pattern.MatchString(line) {
			continue
		}
		if len(found) == query.LongestPerFile {
			return found, true
		}
		found = append(found, Match{file.Path, number, shown(strings.TrimSuffix(line, "\r"))})
	}
	return found, false
}

// shown is the start of a line.
func shown(line string) string {
	if letters := []rune(line); len(letters) > shownLength {
		return string(letters[:shownLength])
	}
	return line
}
