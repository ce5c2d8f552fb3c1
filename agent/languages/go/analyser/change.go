package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// The variable that says which mutant runs: its number from 1, 0 for none, -1 for the gutted skill. Each package has its own.
const variable = "skillopsMutant"

const chooser = `package %s

import (
	"os"
	"strconv"
)

var ` + variable + `, _ = strconv.Atoi(os.Getenv("SKILLOPS_MUTANT"))
`

// Choice is what change writes: the mutants, numbered from 1 in their order (a null is none), and for each function that has to return a
// certain value when gutted, that value. All other functions return zero values.
type Choice struct {
	Mutants []*Site        `json:"mutants"`
	Gutted  map[string]any `json:"gutted"`
	Entry   string         `json:"entry"`
}

type numbered struct {
	Site
	number int
}

func change(root string, files []File, input io.Reader) error {
	var choice Choice
	if err := json.NewDecoder(input).Decode(&choice); err != nil {
		return err
	}
	packages := map[string]string{}
	for index := range files {
		file := &files[index]
		if file.err != nil || file.inTests() || strings.HasSuffix(file.path, "_test.go") {
			continue
		}
		var mine []numbered
		for at, site := range choice.Mutants {
			if site != nil && site.Path == file.path {
				mine = append(mine, numbered{*site, at + 1})
			}
		}
		changing := &changing{file: file, mutants: mine, inserted: map[int]string{}}
		changing.gut(choice)
		if err := os.WriteFile(filepath.Join(root, file.path), []byte(changing.render(0, len(file.source), false)), 0o644); err != nil {
			return err
		}
		packages[path.Dir(file.path)] = file.tree.Name.Name
	}
	for folder, name := range packages {
		if err := os.WriteFile(filepath.Join(root, folder, "skillops_mutant.go"), fmt.Appendf(nil, chooser, name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

type changing struct {
	file     *File
	mutants  []numbered
	inserted map[int]string // what comes before the byte at an offset
}

// gut has each function of the package's own level return at once where the skill is gutted.
func (c *changing) gut(choice Choice) {
	for _, declared := range c.file.tree.Decls {
		function, ok := declared.(*ast.FuncDecl)
		if !ok || function.Recv != nil || function.Body == nil || function.Name.Name == "init" {
			continue
		}
		value := ""
		if function.Type.Results != nil {
			value = zeros(c.file, function.Type.Results)
		}
		if least, wanted := choice.Gutted[function.Name.Name]; wanted && path.Dir(c.file.path) == choice.Entry {
			value = literal(least) + ", nil"
		}
		c.inserted[c.file.offset(function.Body.Lbrace)+1] = fmt.Sprintf(" if %s == -1 { return %s }; ", variable, value)
	}
}

// render gives the source from start to end with every host inside written twice. `within`: not the host that is just that span.
func (c *changing) render(start, end int, within bool) string {
	hosts := map[[2]int][]numbered{}
	for _, mutant := range c.mutants {
		span := [2]int{mutant.HostStart, mutant.HostEnd}
		if span[0] >= start && span[1] <= end && !(within && span == [2]int{start, end}) {
			hosts[span] = append(hosts[span], mutant)
		}
	}
	spans := make([][2]int, 0, len(hosts))
	for span := range hosts {
		spans = append(spans, span)
	}
	sort.Slice(spans, func(i, j int) bool {
		return spans[i][0] < spans[j][0] || (spans[i][0] == spans[j][0] && spans[i][1] > spans[j][1])
	})
	var made strings.Builder
	at := start
	for _, span := range spans {
		if span[0] < at {
			continue // it lies in one that is written already
		}
		made.WriteString(c.plain(at, span[0]))
		made.WriteString(c.twice(span, hosts[span]))
		at = span[1]
	}
	made.WriteString(c.plain(at, end))
	return made.String()
}

// plain is the source from start to end with what is inserted.
func (c *changing) plain(start, end int) string {
	var made strings.Builder
	for at := start; at < end; at++ {
		made.WriteString(c.inserted[at])
		made.WriteByte(c.file.source[at])
	}
	return made.String()
}

func (c *changing) twice(span [2]int, mutants []numbered) string {
	original := c.render(span[0], span[1], true)
	var made strings.Builder
	if mutants[0].Kind == "bool" {
		made.WriteString("(")
		for _, mutant := range mutants {
			fmt.Fprintf(&made, "%s == %d && (%s) || ", variable, mutant.number, c.mutated(mutant))
		}
		for _, mutant := range mutants {
			fmt.Fprintf(&made, "%s != %d && ", variable, mutant.number)
		}
		return made.String() + "(" + original + "))"
	}
	if mutants[0].Kind == "define" {
		made.WriteString(original)
		for _, mutant := range mutants {
			fmt.Fprintf(&made, "; if %s == %d { %s }", variable, mutant.number, c.mutated(mutant))
		}
		return made.String()
	}
	for _, mutant := range mutants {
		fmt.Fprintf(&made, "if %s == %d { %s } else ", variable, mutant.number, c.mutated(mutant))
	}
	return made.String() + "{ " + original + " }"
}

// mutated is the host with its change. Its comment has the compiler name the mutant in what it finds wrong there.
func (c *changing) mutated(mutant numbered) string {
	changed := string(c.file.source[mutant.HostStart:mutant.Start]) + mutant.New + string(c.file.source[mutant.End:mutant.HostEnd])
	if mutant.Kind == "define" {
		changed = strings.Replace(changed, ":=", "=", 1)
	}
	return fmt.Sprintf("/*line skillops-mutant-%d:1:1*/%s/*line %s:%d:1*/", mutant.number, changed, path.Base(c.file.path), mutant.Line)
}

// literal writes a JSON value in Go.
func literal(value any) string {
	switch value := value.(type) {
	case nil:
		return "nil"
	case bool:
		return fmt.Sprint(value)
	case float64:
		return fmt.Sprintf("float64(%v)", value)
	case string:
		return fmt.Sprintf("%q", value)
	case []any:
		parts := make([]string, len(value))
		for index, item := range value {
			parts[index] = literal(item)
		}
		return "[]any{" + strings.Join(parts, ", ") + "}"
	case map[string]any:
		keys := make([]string, 0, len(value))
		for key := range value {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		parts := make([]string, len(keys))
		for index, key := range keys {
			parts[index] = fmt.Sprintf("%q: %s", key, literal(value[key]))
		}
		return "map[string]any{" + strings.Join(parts, ", ") + "}"
	}
	return "nil"
}
