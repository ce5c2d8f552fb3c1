package main

import (
	"go/ast"
	"go/format"
	"go/scanner"
	"go/token"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Facts are what the rules of SkillOps ask of one file. Lines count from 1.
type Facts struct {
	Path       string      `json:"path"`
	Error      string      `json:"error,omitempty"`
	ErrorLine  int         `json:"error_line,omitempty"`
	Package    string      `json:"package"`
	Formatted  bool        `json:"formatted"`
	Imports    []Import    `json:"imports"`
	Directives []Directive `json:"directives"`
	Names      []Name      `json:"names"`
	Literals   []Literal   `json:"literals"`
	Members    []Named     `json:"members"`
	Tests      []Named     `json:"tests"`
	Functions  []string    `json:"functions"`
	Statements [][2]int    `json:"statements"`
}

// Import is one import; Name is what stands before the path.
type Import struct {
	Path string `json:"path"`
	Name string `json:"name"`
	Line int    `json:"line"`
}

// Directive is a comment that a tool obeys.
type Directive struct {
	Text string `json:"text"`
	Line int    `json:"line"`
}

// Name is a name of an imported package (Path is empty for a builtin): Argument is its first argument where that is written out,
// Size is how much is written out in all of its arguments and the constants that they name.
type Name struct {
	Path     string  `json:"path"`
	Name     string  `json:"name"`
	Line     int     `json:"line"`
	Argument *string `json:"argument"`
	Size     int     `json:"size"`
}

// Literal is a string that is written out, in one piece or put together of pieces.
type Literal struct {
	Text string `json:"text"`
	Line int    `json:"line"`
}

// Named is a function with its line.
type Named struct {
	Name string `json:"name"`
	Line int    `json:"line"`
}

func facts(files []File) []Facts {
	found := make([]Facts, 0, len(files))
	packages := map[string]named{}
	for index := range files {
		if file := &files[index]; file.err == nil {
			folder := path.Dir(file.path)
			if packages[folder] == nil {
				packages[folder] = named{}
			}
			packages[folder].collect(file.tree)
		}
	}
	for index := range files {
		found = append(found, files[index].facts(packages[path.Dir(files[index].path)]))
	}
	return found
}

func (file *File) facts(values named) Facts {
	told := Facts{
		Path: file.path, Imports: []Import{}, Directives: []Directive{}, Names: []Name{}, Literals: []Literal{}, Tests: []Named{},
		Functions: []string{}, Statements: [][2]int{}, Members: []Named{},
	}
	if file.err != nil {
		told.Error, told.ErrorLine = file.err.Error(), 1
		if list, isList := file.err.(scanner.ErrorList); isList && len(list) > 0 {
			told.Error, told.ErrorLine = list[0].Msg, list[0].Pos.Line
		}
		return told
	}
	told.Package = file.tree.Name.Name
	made, err := format.Source(file.source)
	told.Formatted = err == nil && string(made) == string(file.source)
	reading := &reading{file: file, told: &told, imports: map[string]string{}, sizes: map[string]int{}, named: values, values: map[string]folding{}}
	reading.heads()
	ast.Inspect(file.tree, reading.node)
	return told
}

type reading struct {
	file    *File
	told    *Facts
	imports map[string]string // the path, by the name that stands for it in this file
	sizes   map[string]int    // how much is written out in a variable or constant
	called  map[ast.Expr]*ast.CallExpr
	named   named // of the whole package
	values  map[string]folding
}

func (r *reading) heads() {
	for _, spec := range r.file.tree.Imports {
		name, where := "", unquoted(spec.Path.Value)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		r.told.Imports = append(r.told.Imports, Import{where, name, r.file.line(spec.Pos())})
		if name == "" {
			name = path.Base(where)
		}
		r.imports[name] = where
	}
	for _, group := range r.file.tree.Comments {
		for _, comment := range group.List {
			text := comment.Text
			directive := strings.HasPrefix(text, "//go:") || strings.HasPrefix(text, "//line ") || strings.HasPrefix(text, "/*line ") ||
				strings.HasPrefix(text, "//export ") || strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(text, "//")), "+build")
			if directive {
				r.told.Directives = append(r.told.Directives, Directive{text, r.file.line(comment.Pos())})
			}
		}
	}
	r.called = map[ast.Expr]*ast.CallExpr{}
	ast.Inspect(r.file.tree, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.CallExpr:
			r.called[node.Fun] = node
		case *ast.ValueSpec:
			for index, name := range node.Names {
				if index < len(node.Values) {
					r.sizes[name.Name] += r.size(node.Values[index])
				}
			}
		case *ast.AssignStmt:
			for index, target := range node.Lhs {
				if name, ok := target.(*ast.Ident); ok && index < len(node.Rhs) {
					r.sizes[name.Name] += r.size(node.Rhs[index])
				}
			}
		}
		return true
	})
}

func (r *reading) node(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.FuncDecl:
		r.function(node)
	case *ast.SelectorExpr:
		if owner, name := dotted(node); name != "" {
			if where, imported := r.imports[owner]; imported {
				r.name(where, name, node)
				return false
			}
		}
		r.told.Members = append(r.told.Members, Named{node.Sel.Name, r.file.line(node.Sel.Pos())})
	case *ast.BinaryExpr:
		r.folded(node)
	case *ast.CallExpr:
		r.folded(node)
		if name, ok := node.Fun.(*ast.Ident); ok {
			r.name("", name.Name, node.Fun)
		}
	case *ast.BasicLit:
		if node.Kind == token.STRING {
			r.told.Literals = append(r.told.Literals, Literal{unquoted(node.Value), r.file.line(node.Pos())})
		}
	case *ast.ImportSpec:
		return false
	}
	if statement, ok := node.(ast.Stmt); ok {
		switch statement.(type) {
		case *ast.BlockStmt, *ast.LabeledStmt, *ast.EmptyStmt, *ast.CaseClause, *ast.CommClause:
		default:
			place := [2]int{r.file.line(statement.Pos()), r.file.column(statement.Pos())}
			r.told.Statements = append(r.told.Statements, place)
		}
	}
	return true
}

// folded notes what an expression comes to where that is no literal by itself.
func (r *reading) folded(node ast.Expr) {
	if text, known := r.fold(node, 0); known && text != "" && !strings.Contains(text, unknown) {
		r.told.Literals = append(r.told.Literals, Literal{text, r.file.line(node.Pos())})
	}
}

func (r *reading) name(where, name string, node ast.Expr) {
	told := Name{Path: where, Name: name, Line: r.file.line(node.Pos())}
	if call := r.called[node]; call != nil {
		for index, given := range call.Args {
			if index == 0 {
				if text, known := r.fold(given, 0); known {
					told.Argument = &text
				}
			}
			told.Size += r.size(given)
			ast.Inspect(given, func(part ast.Node) bool {
				if ident, ok := part.(*ast.Ident); ok {
					told.Size += r.sizes[ident.Name]
				}
				return true
			})
		}
	}
	r.told.Names = append(r.told.Names, told)
}

// size counts the characters of the strings and the numbers of the lists in an expression.
func (r *reading) size(node ast.Expr) int {
	found := 0
	ast.Inspect(node, func(part ast.Node) bool {
		if literal, ok := part.(*ast.BasicLit); ok {
			if literal.Kind == token.STRING {
				found += utf8.RuneCountInString(unquoted(literal.Value))
			} else {
				found++
			}
		}
		return true
	})
	return found
}

func (r *reading) function(node *ast.FuncDecl) {
	if node.Recv != nil {
		return
	}
	name := node.Name.Name
	r.told.Functions = append(r.told.Functions, name)
	rest, isTest := strings.CutPrefix(name, "Test")
	first, _ := utf8.DecodeRuneInString(rest)
	if isTest && (rest == "" || !unicode.IsLower(first)) && len(node.Type.Params.List) == 1 && name != "TestMain" {
		if strings.HasSuffix(r.file.text(node.Type.Params.List[0].Type), ".T") {
			r.told.Tests = append(r.told.Tests, Named{name, r.file.line(node.Pos())})
		}
	}
}

// dotted gives `base64` and `StdEncoding.DecodeString` for that chain.
func dotted(node *ast.SelectorExpr) (owner, name string) {
	switch inner := node.X.(type) {
	case *ast.Ident:
		return inner.Name, node.Sel.Name
	case *ast.SelectorExpr:
		if owner, name = dotted(inner); name != "" {
			return owner, name + "." + node.Sel.Name
		}
	}
	return "", ""
}

func unquoted(text string) string {
	plain, err := strconv.Unquote(text)
	if err != nil {
		return text
	}
	return plain
}
