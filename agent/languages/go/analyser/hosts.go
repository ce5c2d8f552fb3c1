package main

import (
	"go/ast"
	"go/token"
)

// add notes a mutant of a part of `node`, where something around it can be written twice: a condition, or a simple statement.
func (m *mutating) add(node ast.Node, start, end int, changed string) {
	stack := append(append([]ast.Node{}, m.stack...), node)
	for at := len(stack) - 1; at >= 0; at-- {
		kind := ""
		switch around := stack[at].(type) {
		case *ast.BinaryExpr:
			if around.Op.Precedence() <= token.EQL.Precedence() {
				kind = "bool"
			}
		case *ast.UnaryExpr:
			if around.Op == token.NOT {
				kind = "bool"
			}
		case *ast.Ident:
			if around.Name == "true" || around.Name == "false" {
				kind = "bool"
			}
		case ast.Stmt:
			if kind = hosting(around, stack[:at]); kind == "" {
				return
			}
		}
		if kind != "" {
			host := stack[at]
			m.found = append(m.found, m.site(kind, m.file.offset(host.Pos()), m.file.offset(host.End()), start, end, changed, m.statement(node)))
			return
		}
	}
}

// hosting tells how a statement can be written twice; "" where it cannot.
func hosting(statement ast.Stmt, around []ast.Node) string {
	if len(around) > 0 {
		switch parent := around[len(around)-1].(type) {
		case *ast.BlockStmt, *ast.CaseClause:
		case *ast.CommClause:
			if parent.Comm == statement {
				return ""
			}
		default:
			return "" // the head of an if, for or switch
		}
	}
	switch statement := statement.(type) {
	case *ast.AssignStmt:
		if statement.Tok != token.DEFINE {
			return "statement"
		}
		for _, value := range statement.Rhs {
			if !harmless(value) {
				return ""
			}
		}
		return "define"
	case *ast.ReturnStmt, *ast.ExprStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.BranchStmt:
		return "statement"
	}
	return ""
}

// harmless tells whether an expression may be worked out twice: it calls nothing but what changes nothing.
func harmless(value ast.Expr) bool {
	fine := true
	ast.Inspect(value, func(part ast.Node) bool {
		switch part := part.(type) {
		case *ast.CallExpr:
			name, ok := part.Fun.(*ast.Ident)
			switch {
			case !ok:
				fine = false
			case name.Name == "len" || name.Name == "cap" || name.Name == "min" || name.Name == "max":
			case name.Name == "int" || name.Name == "int64" || name.Name == "float64" || name.Name == "string" || name.Name == "uint64":
			default:
				fine = false
			}
		case *ast.FuncLit:
			fine = false
		case *ast.UnaryExpr:
			fine = fine && part.Op != token.ARROW && part.Op != token.AND
		}
		return fine
	})
	return fine
}

func (m *mutating) site(kind string, hostStart, hostEnd, start, end int, changed string, statement int) Site {
	line := 1
	for _, char := range m.file.source[:start] {
		if char == '\n' {
			line++
		}
	}
	return Site{m.file.path, hostStart, hostEnd, kind, start, end, string(m.file.source[start:end]), changed, line, statement}
}

// statement is the line of the innermost statement around `node`.
func (m *mutating) statement(node ast.Node) int {
	stack := append(append([]ast.Node{}, m.stack...), node)
	for at := len(stack) - 1; at >= 0; at-- {
		if around, ok := stack[at].(ast.Stmt); ok {
			if _, block := around.(*ast.BlockStmt); !block {
				return m.file.line(around.Pos())
			}
		}
	}
	return m.file.line(node.Pos())
}
