package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// Site is one mutant: what lies from Start to End (in bytes) becomes New. What lies from HostStart to HostEnd is written twice then, as
// it is and changed, and Kind tells how: "bool" (an expression), "statement", or "define" (a statement that declares with :=).
// A statement that is left out has an empty New; Statement is the line where the statement around it starts.
type Site struct {
	Path      string `json:"path"`
	HostStart int    `json:"host_start"`
	HostEnd   int    `json:"host_end"`
	Kind      string `json:"kind"`
	Start     int    `json:"start"`
	End       int    `json:"end"`
	Old       string `json:"old"`
	New       string `json:"new"`
	Line      int    `json:"line"`
	Statement int    `json:"statement"`
}

var operators = map[token.Token]string{
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">", token.EQL: "!=", token.NEQ: "==", token.LAND: "||", token.LOR: "&&",
	token.ADD: "-", token.SUB: "+", token.MUL: "/", token.QUO: "*", token.REM: "*", token.AND: "|", token.OR: "&", token.XOR: "&",
	token.SHL: ">>", token.SHR: "<<", token.ADD_ASSIGN: "-=", token.SUB_ASSIGN: "+=", token.MUL_ASSIGN: "/=", token.QUO_ASSIGN: "*=",
	token.INC: "--", token.DEC: "++",
}

var (
	speaks = regexp.MustCompile(`(?i)(errors\.new|error|errorf|fault|fail|refuse|panic|printf|println|fatal|logf?)$`)
	// What a test cannot fairly be asked to notice.
	quiet = regexp.MustCompile(`(?i)(\.|^)(r?lock|r?unlock|close|wait|done|add|sync|print|printf|println|remove|removeall|grow|stop|panic)$`)
)

func sites(files []File) []Site {
	found := []Site{}
	for index := range files {
		file := &files[index]
		if file.err != nil || file.inTests() || strings.HasSuffix(file.path, "_test.go") {
			continue
		}
		for _, declared := range file.tree.Decls {
			if function, ok := declared.(*ast.FuncDecl); ok && function.Body != nil {
				walk := &mutating{file: file, results: []*ast.FieldList{function.Type.Results}}
				walk.visit(function.Body)
				found = append(found, walk.found...)
			}
		}
	}
	return found
}

// mutating walks one function; stack holds the nodes around the one that is looked at.
type mutating struct {
	file    *File
	stack   []ast.Node
	results []*ast.FieldList
	words   int // how deep in what is said to people
	found   []Site
}

func (m *mutating) visit(node ast.Node) {
	if node == nil || m.leftOut(node) {
		return
	}
	spoken := speaking(m.file, node)
	if spoken {
		m.words++
	}
	if function, ok := node.(*ast.FuncLit); ok {
		m.results = append(m.results, function.Type.Results)
		defer func() { m.results = m.results[:len(m.results)-1] }()
	}
	m.mutate(node)
	m.stack = append(m.stack, node)
	ast.Inspect(node, func(child ast.Node) bool {
		if child == node {
			return true
		}
		if child != nil {
			m.visit(child)
		}
		return false
	})
	m.stack = m.stack[:len(m.stack)-1]
	if spoken {
		m.words--
	}
}

func (m *mutating) leftOut(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.GenDecl:
		return node.Tok == token.CONST || node.Tok == token.TYPE
	case *ast.ArrayType, *ast.StructType, *ast.FuncType, *ast.MapType, *ast.DeferStmt:
		return true
	case ast.Expr:
		parent := m.parent(0)
		if pair, ok := parent.(*ast.KeyValueExpr); ok && pair.Key == node {
			return true
		}
		if call, ok := parent.(*ast.CallExpr); ok && len(call.Args) > 1 {
			if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "make" {
				return call.Args[len(call.Args)-1] == node // a size is only a hint
			}
		}
	}
	return false
}

func (m *mutating) parent(up int) ast.Node {
	if at := len(m.stack) - 1 - up; at >= 0 {
		return m.stack[at]
	}
	return nil
}

func (m *mutating) mutate(node ast.Node) {
	switch node := node.(type) {
	case *ast.BinaryExpr:
		if changed, ok := operators[node.Op]; ok {
			start := m.file.offset(node.OpPos)
			m.add(node, start, start+len(node.Op.String()), changed)
		}
	case *ast.UnaryExpr:
		if node.Op == token.NOT || node.Op == token.SUB {
			m.add(node, m.file.offset(node.Pos()), m.file.offset(node.X.Pos()), "")
		}
	case *ast.BasicLit:
		if changed := m.literal(node); changed != "" {
			m.add(node, m.file.offset(node.Pos()), m.file.offset(node.End()), changed)
		}
	case *ast.Ident:
		if opposite := map[string]string{"true": "false", "false": "true"}[node.Name]; opposite != "" {
			m.add(node, m.file.offset(node.Pos()), m.file.offset(node.End()), opposite)
		}
	case *ast.IfStmt:
		m.condition(node.Cond)
	case *ast.ForStmt:
		m.condition(node.Cond)
	case *ast.AssignStmt:
		if changed, ok := operators[node.Tok]; ok {
			start := m.file.offset(node.TokPos)
			m.add(node, start, start+len(node.Tok.String()), changed)
		}
	case *ast.IncDecStmt:
		start := m.file.offset(node.TokPos)
		m.add(node, start, start+2, operators[node.Tok])
	case *ast.ExprStmt:
		if call, ok := node.X.(*ast.CallExpr); ok && !quiet.MatchString(m.file.text(call.Fun)) {
			m.add(node, m.file.offset(node.Pos()), m.file.offset(node.End()), "")
		}
	case *ast.ReturnStmt:
		m.returned(node)
	case *ast.BranchStmt:
		if node.Tok == token.CONTINUE && node.Label == nil && m.inBoundedLoop() {
			m.add(node, m.file.offset(node.Pos()), m.file.offset(node.End()), "break")
		}
	}
}

// condition turns round what has no operator of its own to change.
func (m *mutating) condition(node ast.Expr) {
	switch node.(type) {
	case nil, *ast.BinaryExpr, *ast.UnaryExpr:
		return
	}
	start, end := m.file.offset(node.Pos()), m.file.offset(node.End())
	m.found = append(m.found, m.site("bool", start, end, start, end, "!("+m.file.text(node)+")", m.statement(node)))
}

func (m *mutating) returned(node *ast.ReturnStmt) {
	results := m.results[len(m.results)-1]
	if results == nil || len(node.Results) == 0 {
		return
	}
	zero := zeros(m.file, results)
	plain := regexp.MustCompile(`^return (nil|false|0|""|, )+$`)
	if text := m.file.text(node); !plain.MatchString(text) {
		m.add(node, m.file.offset(node.Pos()), m.file.offset(node.End()), "return "+zero)
	}
}

// zeros is the zero value of each result, as an expression.
func zeros(file *File, results *ast.FieldList) string {
	var found []string
	for _, field := range results.List {
		for range max(1, len(field.Names)) {
			found = append(found, "*new("+file.text(field.Type)+")")
		}
	}
	return strings.Join(found, ", ")
}

func (m *mutating) literal(node *ast.BasicLit) string {
	switch node.Kind {
	case token.INT:
		if value, err := strconv.ParseInt(node.Value, 0, 32); err == nil {
			return strconv.FormatInt(value+1, 10)
		}
	case token.FLOAT:
		return "(" + node.Value + " + 1)"
	case token.STRING:
		if m.words > 0 {
			return ""
		}
		if unquoted(node.Value) == "" {
			return `"x"`
		}
		return `""`
	}
	return ""
}

func speaking(file *File, node ast.Node) bool {
	switch node := node.(type) {
	case *ast.CallExpr:
		return speaks.MatchString(file.text(node.Fun))
	case *ast.CompositeLit:
		return node.Type != nil && speaks.MatchString(file.text(node.Type))
	}
	return false
}

func (m *mutating) inBoundedLoop() bool {
	for up := range m.stack {
		switch around := m.parent(up).(type) {
		case *ast.RangeStmt:
			return true
		case *ast.ForStmt:
			return around.Cond != nil
		case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.FuncLit:
			return false
		}
	}
	return false
}
