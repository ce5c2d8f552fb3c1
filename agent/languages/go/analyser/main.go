// Reads and rewrites the Go code of a skill, and runs none of it. `agent/languages/go/analyser.py` builds and asks it.
//
//	analyser facts ROOT      what stands in the files, as JSON
//	analyser sites ROOT      the places where a mutant can be made, as JSON
//	analyser change ROOT     writes the chosen mutants, and the gutted functions, into the files; the choice is JSON on stdin
//	analyser format ROOT     formats the files in place, as gofmt does
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// File is one source file, read.
type File struct {
	path   string
	source []byte
	set    *token.FileSet
	tree   *ast.File
	err    error
}

func main() {
	if len(os.Args) != 3 {
		stop("usage: analyser facts|sites|change|format ROOT")
	}
	files, err := read(os.Args[2])
	if err != nil {
		stop(err.Error())
	}
	switch os.Args[1] {
	case "facts":
		say(facts(files))
	case "sites":
		say(sites(files))
	case "change":
		err = change(os.Args[2], files, os.Stdin)
	case "format":
		err = tidy(os.Args[2], files)
	default:
		stop("unknown command " + os.Args[1])
	}
	if err != nil {
		stop(err.Error())
	}
}

func stop(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}

func say(value any) {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		stop(err.Error())
	}
}

func read(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || filepath.Ext(path) != ".go" {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		file := File{path: filepath.ToSlash(name), source: source, set: token.NewFileSet()}
		file.tree, file.err = parser.ParseFile(file.set, file.path, source, parser.ParseComments|parser.SkipObjectResolution)
		files = append(files, file)
		return nil
	})
	sort.Slice(files, func(i, j int) bool { return files[i].path < files[j].path })
	return files, err
}

func tidy(root string, files []File) error {
	for _, file := range files {
		made, err := format.Source(file.source)
		if err != nil || bytes.Equal(made, file.source) {
			continue // what cannot be read is told elsewhere
		}
		if err := os.WriteFile(filepath.Join(root, file.path), made, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (file *File) offset(pos token.Pos) int { return file.set.PositionFor(pos, false).Offset }
func (file *File) line(pos token.Pos) int   { return file.set.PositionFor(pos, false).Line }
func (file *File) column(pos token.Pos) int { return file.set.PositionFor(pos, false).Column }
func (file *File) text(node ast.Node) string {
	return string(file.source[file.offset(node.Pos()):file.offset(node.End())])
}
func (file *File) inTests() bool { return strings.HasPrefix(file.path, "tests/") }
