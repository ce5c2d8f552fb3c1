package main

import (
	"go/ast"
	"go/token"
	"path"
	"strconv"
	"strings"
)

const (
	unknown = "\x00" // the part of a text that only a run knows
	longest = 1 << 14
	deepest = 200
)

// folding is what a name comes to, worked out once.
type folding struct {
	text  string
	known bool
}

// named are the values that stand in the code for each name; a name with several has none.
type named map[string]ast.Expr

// collect adds what a tree gives to its names.
func (n named) collect(tree ast.Node) {
	ast.Inspect(tree, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.ValueSpec:
			for index, name := range node.Names {
				if index < len(node.Values) {
					n.add(name.Name, node.Values[index])
				}
			}
		case *ast.AssignStmt:
			for index, target := range node.Lhs {
				if name, ok := target.(*ast.Ident); ok {
					if node.Tok == token.DEFINE && len(node.Lhs) == len(node.Rhs) {
						n.add(name.Name, node.Rhs[index])
					} else {
						n.add(name.Name, nil)
					}
				}
			}
		}
		return true
	})
}

func (n named) add(name string, value ast.Expr) {
	if _, twice := n[name]; twice {
		value = nil
	}
	n[name] = value
}

// fold is the text that an expression comes to as far as that stands in the code, with unknown for the rest; "" and false where none of it does.
func (r *reading) fold(node ast.Expr, depth int) (string, bool) {
	if depth > deepest {
		return "", false
	}
	switch node := node.(type) {
	case *ast.ParenExpr:
		return r.fold(node.X, depth+1)
	case *ast.BasicLit:
		switch node.Kind {
		case token.STRING:
			return unquoted(node.Value), true
		case token.CHAR:
			letter, _, _, err := strconv.UnquoteChar(strings.Trim(node.Value, "'"), '\'')
			return string(letter), err == nil
		}
	case *ast.BinaryExpr:
		if node.Op == token.ADD {
			left, one := r.fold(node.X, depth+1)
			right, other := r.fold(node.Y, depth+1)
			return joined("", part(left, one), part(right, other)), (one || other) && len(left)+len(right) < longest
		}
	case *ast.Ident:
		if value := r.named[node.Name]; value != nil {
			if _, told := r.values[node.Name]; !told {
				r.values[node.Name] = folding{} // of what is made of itself, nothing is known
				text, known := r.fold(value, depth+1)
				r.values[node.Name] = folding{text, known}
			}
			return r.values[node.Name].text, r.values[node.Name].known
		}
	case *ast.CompositeLit:
		return r.letters(node, depth)
	case *ast.CallExpr:
		return r.call(node, depth)
	}
	return "", false
}

// letters are those of a []byte or []rune.
func (r *reading) letters(node *ast.CompositeLit, depth int) (string, bool) {
	var made []rune
	for _, element := range node.Elts {
		literal, ok := element.(*ast.BasicLit)
		if !ok {
			return "", false
		}
		if literal.Kind == token.INT {
			number, err := strconv.ParseInt(literal.Value, 0, 32)
			if err != nil {
				return "", false
			}
			made = append(made, rune(number))
		} else if text, ok := r.fold(literal, depth+1); ok && literal.Kind == token.CHAR {
			made = append(made, []rune(text)...)
		} else {
			return "", false
		}
	}
	return string(made), len(made) > 0
}

func part(text string, known bool) string {
	if known {
		return text
	}
	return unknown
}

func joined(between string, parts ...string) string { return strings.Join(parts, between) }

// call works out what conversions and the usual functions make of texts.
func (r *reading) call(node *ast.CallExpr, depth int) (string, bool) {
	if name, ok := node.Fun.(*ast.Ident); ok && name.Name == "string" && len(node.Args) == 1 {
		if literal, ok := node.Args[0].(*ast.BasicLit); ok && literal.Kind == token.INT {
			number, err := strconv.ParseInt(literal.Value, 0, 32)
			return string(rune(number)), err == nil
		}
		return r.fold(node.Args[0], depth+1)
	}
	if array, ok := node.Fun.(*ast.ArrayType); ok && array.Len == nil && len(node.Args) == 1 {
		return r.fold(node.Args[0], depth+1)
	}
	selector, ok := node.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	owner, name := dotted(selector)
	texts, any := make([]string, len(node.Args)), false
	for index, given := range node.Args {
		text, known := r.fold(given, depth+1)
		texts[index], any = part(text, known), any || known
	}
	if !any {
		texts = append(texts, "", "")
	}
	text, known := made(r.imports[owner]+"."+name, texts, r.list(node, depth), any)
	return text, known && len(text) < longest
}

// list holds the texts of a []string that is the first argument.
func (r *reading) list(node *ast.CallExpr, depth int) []string {
	if len(node.Args) == 0 {
		return nil
	}
	literal, ok := node.Args[0].(*ast.CompositeLit)
	if !ok {
		return nil
	}
	var found []string
	for _, element := range literal.Elts {
		text, known := r.fold(element, depth+1)
		found = append(found, part(text, known))
	}
	return found
}

func made(function string, texts, list []string, any bool) (string, bool) {
	if function == "strings.Join" && len(texts) >= 2 && list != nil {
		return strings.Join(list, texts[1]), true
	}
	if !any {
		return "", false
	}
	switch {
	case function == "path/filepath.Join" || function == "path.Join":
		return joinedPath(texts), true
	case function == "fmt.Sprintf" && !strings.Contains(texts[0], "%["):
		text := texts[0]
		for _, given := range texts[1:] {
			for _, verb := range []string{"%s", "%v"} {
				if strings.Contains(text, verb) {
					text = strings.Replace(text, verb, given, 1)
					break
				}
			}
		}
		return text, true
	case function == "fmt.Sprint":
		return strings.Join(texts, ""), true
	case function == "strings.ReplaceAll" && len(texts) == 3:
		return strings.ReplaceAll(texts[0], texts[1], texts[2]), true
	case function == "strings.Replace" && len(texts) == 4:
		return strings.ReplaceAll(texts[0], texts[1], texts[2]), true
	case function == "strings.TrimPrefix" && len(texts) == 2:
		return strings.TrimPrefix(texts[0], texts[1]), true
	case function == "strings.TrimSuffix" && len(texts) == 2:
		return strings.TrimSuffix(texts[0], texts[1]), true
	case function == "strings.Trim" && len(texts) == 2:
		return strings.Trim(texts[0], texts[1]), true
	case function == "strings.ToLower":
		return strings.ToLower(texts[0]), true
	case function == "path/filepath.Clean" || function == "path.Clean" || function == "path/filepath.FromSlash" || function == "strings.Clone":
		return texts[0], true
	}
	return "", false
}

// joinedPath keeps the ways up, which Join would take out.
func joinedPath(parts []string) string {
	return strings.ReplaceAll(path.Clean("/" + strings.ReplaceAll(strings.Join(parts, "/"), "..", "\x01"))[leading(parts):], "\x01", "..")
}

func leading(parts []string) int {
	if len(parts) > 0 && strings.HasPrefix(parts[0], "/") {
		return 0
	}
	return 1
}
